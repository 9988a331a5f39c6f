"""After planning: a card ingested, a day re-planned, rules looked at, sheets and pictures made."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import shapely
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from missions.application import application_of
from missions.errors import MissionsError
from missions.exif import read_shot
from missions.explain import explain
from missions.export.application import write_application
from missions.export.preview import draw_preview
from missions.export.sheet import write_crew_sheet
from missions.export.wpl import read_waypoints
from missions.ingest import ingest
from missions.planner import PlanRequest, PlanResult, export_plan, plan_patrol
from missions.replan import replan
from missions.reread import reread
from missions.rules import Approval, Operation, check_rules, read_operation, require
from missions.sun import is_dark
from missions.verify import verify_plan
from tests.missions.conftest import FRAME, Draw

START = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)


def dms(value: float) -> tuple[IFDRational, IFDRational, IFDRational]:
    value = abs(value)
    degrees, minutes = int(value), int(value % 1 * 60)
    return IFDRational(degrees), IFDRational(minutes), IFDRational(round((value * 60 % 1) * 60 * 1e5), 100000)


def photograph(path: Path, lonlat: np.ndarray | None, time: datetime, *, gps_time: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    local = time + timedelta(hours=8)
    exif[0x8769] = {0x9003: local.strftime("%Y:%m:%d %H:%M:%S")}
    if lonlat is not None:
        gps = {1: "N", 2: dms(lonlat[1]), 3: "E", 4: dms(lonlat[0])}
        if gps_time:
            clock = tuple(IFDRational(value) for value in (time.hour, time.minute, time.second))
            gps |= {7: clock, 29: time.strftime("%Y:%m:%d")}
        exif[0x8825] = gps
    Image.new("RGB", (8, 6)).save(path, exif=exif)


@pytest.fixture
def planned(town: Path, tmp_path: Path) -> tuple[Path, PlanResult]:
    result = plan_patrol(PlanRequest(town, gsd_m=0.08, crews=2, start_utc=START))
    export_plan(result, tmp_path / "plan")
    return tmp_path / "plan", result


def fill_card(plan_dir: Path, card: Path, leave_out: dict[str, set[int]]) -> int:
    _, frame, sorties = reread(plan_dir)
    random = np.random.default_rng(4)
    count = 0
    for number, sortie in enumerate(sorties):
        places, _ = sortie.exposures()
        assert len(places) == sortie.sortie.photos
        for index, lonlat in enumerate(frame.to_lonlat(places + random.normal(0, 1.5, places.shape))):
            if index in leave_out.get(sortie.sortie.short_id, set()):
                continue
            # Both cards hold the same names, as two aircraft's do; the second is flown an hour later.
            path = card / f"card{number}" / f"DJI_{index:04d}.JPG"
            photograph(path, lonlat, START + timedelta(hours=number, seconds=3 * index), gps_time=index % 2 == 0)
            count += 1
    return count


def test_a_card_is_sorted_and_gaps_are_flown_again(planned: tuple[Path, PlanResult], tmp_path: Path) -> None:
    plan_dir, _ = planned
    total = len(reread(plan_dir)[2][1].exposures()[0])
    left_out = {"S01": {20, 21, 22}, "S02": set(range(total - 9, total))}
    taken = fill_card(plan_dir, tmp_path / "card", left_out)
    (tmp_path / "card" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    photograph(tmp_path / "card" / "kitchen.jpg", np.array([118.5, 35.2]), START + timedelta(days=2))
    found = ingest(tmp_path / "card", plan_dir, tmp_path / "out")
    assert sum(map(len, found.sorted.values())) == taken
    assert {path.name for path, _ in found.set_aside} == {"broken.jpg", "kitchen.jpg"}
    assert {gap.sortie: (len(gap.places), gap.trailing) for gap in found.missed} == {"S01": (3, 0), "S02": (9, 9)}
    assert set(found.files) == {
        f"{stem}.{kind}" for stem in ("S01.refly", "S02.resume") for kind in ("waypoints", "plan")
    }
    assert len(list((tmp_path / "out" / "frames" / "S01").iterdir())) + 3 == len(reread(plan_dir)[2][0].exposures()[0])
    # Flown together, the card's photographs and the two new missions see what the plan saw.
    for stem, missing in (("S01.refly", 3), ("S02.resume", 9)):
        items = read_waypoints(tmp_path / "out" / f"{stem}.waypoints")
        whole = tmp_path / stem
        shutil.copytree(plan_dir, whole)
        data = json.loads((whole / "plan.json").read_text())
        data["sorties"] = [s for s in data["sorties"] if s["id"].endswith(stem[:3])]
        (whole / "plan.json").write_text(json.dumps(data))
        shutil.copy(tmp_path / "out" / f"{stem}.waypoints", whole / data["sorties"][0]["files"]["waypoints"])
        again = reread(whole, FRAME)[2][0].exposures()[0]
        gap = next(gap for gap in found.missed if gap.sortie == stem[:3])
        away = np.hypot(*(FRAME.to_xy(gap.places)[:, None] - again[None]).transpose(2, 0, 1)).min(axis=1)
        assert away.max() < 1.0
        assert missing < len(again) <= missing + 6
        assert items[-1].command == 20 and len(items) < len(read_waypoints(plan_dir / f"sorties/{stem[:3]}.waypoints"))


def test_two_aircraft_in_one_folder_at_the_same_time_are_told_apart(
    planned: tuple[Path, PlanResult], tmp_path: Path
) -> None:
    _, frame, sorties = reread(planned[0])
    for number, sortie in enumerate(sorties):
        for index, lonlat in enumerate(frame.to_lonlat(sortie.exposures()[0])):
            photograph(tmp_path / "card" / f"{number}_{index:03d}.jpg", lonlat, START + timedelta(seconds=3 * index))
    found = ingest(tmp_path / "card", planned[0], tmp_path / "out")
    for number, sortie in enumerate(sorties):
        assert {path.name[0] for path in found.sorted[sortie.sortie.short_id]} == {str(number)}
    assert found.missed == ()


def test_a_complete_card_leaves_nothing_to_fly(planned: tuple[Path, PlanResult], tmp_path: Path) -> None:
    fill_card(planned[0], tmp_path / "card", {})
    found = ingest(tmp_path / "card", planned[0], tmp_path / "out")
    assert (found.missed, found.files, found.set_aside) == ((), (), ())


def test_photographs_of_one_name_and_size_are_all_kept_and_copies_set_aside(
    planned: tuple[Path, PlanResult], tmp_path: Path
) -> None:
    """A card counts on in a new folder after 999: raw files there have the names and the size of earlier ones."""
    _, frame, sorties = reread(planned[0])
    places = frame.to_lonlat(sorties[0].exposures()[0])
    for index, lonlat in enumerate(places):
        path = tmp_path / "card" / f"{100 + index // 30}MEDIA" / f"DJI_{index % 30:04d}.JPG"
        photograph(path, lonlat, START + timedelta(seconds=3 * index))
        path.write_bytes(path.read_bytes().ljust(4096, b"\0"))
    shutil.copytree(tmp_path / "card" / "100MEDIA", tmp_path / "card" / "backup")
    found = ingest(tmp_path / "card", planned[0], tmp_path / "out")
    assert len({path.read_bytes() for path in (tmp_path / "out" / "frames" / "S01").iterdir()}) == len(places)
    assert len(found.sorted["S01"]) == len(places) and found.missed == ()
    assert len(found.set_aside) == 30 and all("a copy of" in why for _, why in found.set_aside)
    assert found.absent == ("S02",)
    with pytest.raises(MissionsError, match="time zone 'Mars'"):
        ingest(tmp_path / "card", planned[0], tmp_path / "out", zone="Mars")


def test_a_folder_without_photographs_is_refused(planned: tuple[Path, PlanResult], tmp_path: Path) -> None:
    with pytest.raises(MissionsError, match="no folder"):
        ingest(tmp_path / "nowhere", planned[0], tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissionsError, match="no photographs"):
        ingest(tmp_path / "empty", planned[0], tmp_path / "out")


def test_camera_time_is_local_where_it_says_nothing_else(tmp_path: Path) -> None:
    photograph(tmp_path / "a.jpg", None, START)
    shot = read_shot(tmp_path / "a.jpg")
    assert shot is not None and shot.time_utc == START and shot.lonlat is None


def test_a_new_zone_changes_only_what_it_touches(draw: Draw, tmp_path: Path) -> None:
    area = draw("a.geojson", [(shapely.box(0, 0, 900, 900), {})])
    request = PlanRequest(area, gsd_m=0.08, crews=3, start_utc=START)
    export_plan(plan_patrol(request), tmp_path / "plan")
    zones = draw("z.geojson", [(shapely.box(20, 20, 120, 120), {"kind": "no-fly", "name": "fire"})])
    changed = PlanRequest(area, zones=zones, gsd_m=0.08, crews=3, start_utc=START)
    urgent = tuple(float(v) for v in FRAME.to_lonlat([(700, 700)])[0])
    before = verify_plan(tmp_path / "plan", area, zones)
    done = replan(tmp_path / "plan", changed, tmp_path / "new", urgent=[urgent])
    assert before.closed_m > 0
    assert done.dropped and len(done.kept) >= 1 and len(done.added) >= 2
    after = verify_plan(tmp_path / "new", area, zones)
    assert after.faults == () and after.seen_as_due >= 0.99
    for name in done.kept:
        old, new = (tmp_path / folder / f"sorties/{name}.waypoints" for folder in ("plan", "new"))
        assert old.read_bytes() == new.read_bytes()
    last = done.plan.sorties[[s.short_id for s in done.plan.sorties].index(done.added[-1])]
    assert last.photos == 5


def test_a_lost_crew_hands_over_what_it_has_not_flown(
    planned: tuple[Path, PlanResult], town: Path, tmp_path: Path
) -> None:
    request = PlanRequest(town, gsd_m=0.08, crews=2, start_utc=START)
    done = replan(planned[0], request, tmp_path / "new", lost_crews=["C02"])
    assert {sortie.crew for sortie in done.plan.sorties} == {"C01"}
    ends = [s.start_utc + timedelta(seconds=s.duration_s) for s in done.plan.sorties]
    assert done.plan.sorties[1].start_utc >= ends[0]
    with pytest.raises(MissionsError, match="every crew"):
        replan(planned[0], request, tmp_path / "new", lost_crews=["C01", "C02"])
    with pytest.raises(MissionsError, match="no sortie S77"):
        replan(planned[0], request, tmp_path / "new", flown=["S77"])


def test_a_replan_says_what_it_no_longer_sees_and_refuses_what_is_not_its_own(
    planned: tuple[Path, PlanResult], town: Path, draw: Draw, tmp_path: Path
) -> None:
    zones = draw("z.geojson", [(shapely.box(0, 310, 400, 400), {"kind": "no-fly", "name": "fire"})])
    request = PlanRequest(town, zones=zones, gsd_m=0.08, crews=2, start_utc=START)
    done = replan(planned[0], request, tmp_path / "new")
    assert any("m of lanes of" in item.what and "closed" in item.why for item in done.plan.refused)
    assert done.plan.coverage.area_m2 == pytest.approx(400 * 310, rel=0.01) and done.plan.coverage.seen_once > 0.85
    closed = draw("all.geojson", [(shapely.box(-200, -200, 600, 600), {"kind": "no-fly", "name": "all"})])
    with pytest.raises(MissionsError, match=r"nothing of .* is left to fly"):
        replan(planned[0], replace(request, zones=closed), tmp_path / "none")
    with pytest.raises(MissionsError, match="has no crew C99: it has C01, C02"):
        replan(planned[0], request, tmp_path / "none", lost_crews=["C99"])
    far = draw("far.geojson", [(shapely.box(50_000, 0, 50_400, 400), {})])
    with pytest.raises(MissionsError, match=r"50 km from .*far.geojson: give the area"):
        replan(planned[0], PlanRequest(far, gsd_m=0.08, start_utc=START), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def said_in(pdf: Path) -> str:
    """The text of a PDF, without its line breaks."""
    done = subprocess.run(["pdftotext", "-layout", pdf, "-"], capture_output=True, text=True, check=True)
    return "".join(done.stdout.split())


needs_pdftotext = pytest.mark.skipif(shutil.which("pdftotext") is None, reason="poppler-utils is not installed")


@needs_pdftotext
def test_an_urgent_point_outside_the_volume_is_a_new_application(
    planned: tuple[Path, PlanResult], town: Path, draw: Draw, tmp_path: Path
) -> None:
    volume = draw("z.geojson", [(shapely.box(-50, -50, 450, 450), {"kind": "permitted", "name": "volume"})])
    point = tuple(float(v) for v in FRAME.to_lonlat([(800, 200)])[0])
    request = PlanRequest(town, zones=volume, gsd_m=0.08, crews=2, start_utc=START)
    with pytest.raises(MissionsError, match=r"new application for 1 sorties is written to .*new-application\.pdf"):
        replan(planned[0], request, tmp_path / "new", urgent=[point])
    assert not (tmp_path / "new").exists()
    text = said_in(tmp_path / "new-application.pdf")
    assert "飞行活动申请表" in text and "S03" in text and "S01" not in text
    assert f"加急点位{point[0]:.6f},{point[1]:.6f}在现有空域范围以外" in text


def test_an_urgent_point_in_a_no_fly_zone_is_no_application(
    planned: tuple[Path, PlanResult], town: Path, draw: Draw, tmp_path: Path
) -> None:
    closed = draw("z.geojson", [(shapely.box(750, 150, 850, 250), {"kind": "no-fly", "name": "barracks"})])
    point = tuple(float(v) for v in FRAME.to_lonlat([(800, 200)])[0])
    request = PlanRequest(town, zones=closed, gsd_m=0.08, crews=2, start_utc=START)
    with pytest.raises(MissionsError, match="ask whoever closed it"):
        replan(planned[0], request, tmp_path / "new", urgent=[point])
    assert not (tmp_path / "new-application.pdf").exists()


@needs_pdftotext
def test_what_leaves_the_approved_corners_or_height_is_a_new_application(
    planned: tuple[Path, PlanResult], town: Path, tmp_path: Path
) -> None:
    plan_dir, result = planned
    request = PlanRequest(town, gsd_m=0.08, crews=2, start_utc=START)
    point = tuple(float(v) for v in FRAME.to_lonlat([(600, 200)])[0])
    window = {"number": "LY-7", "begin_utc": START - timedelta(hours=1), "end_utc": START + timedelta(hours=9)}
    corners = tuple((float(x), float(y)) for x, y in FRAME.to_lonlat([(-60, -60), (460, -60), (460, 460), (-60, 460)]))
    wide = Operation(approvals=(Approval(**window),))
    assert replan(plan_dir, request, tmp_path / "done", urgent=[point], operation=wide).added == ("S03",)
    for more, lack, reason in (
        ({"corners": corners}, "area", "空域范围以外"),
        ({"max_agl_m": 60.0}, "height", "高度以上（真高"),
    ):
        narrow = Operation(approvals=(Approval(**window, **more),), operator="临沂市城市管理局")
        sheet = tmp_path / f"{lack}.pdf"
        with pytest.raises(MissionsError, match=f"by its {lack}"):
            replan(plan_dir, request, tmp_path / "new", urgent=[point], operation=narrow, application=sheet)
        text = said_in(sheet)
        assert "LY-7" in text and reason in text and "临沂市城市管理局" in text
    assert not (tmp_path / "new").exists()
    graded = {check.name: check for check in check_rules(result, narrow.model_copy(update={"over_crowds": True}))}
    assert "LY-7" not in graded["approval"].detail


def test_the_area_applied_for_holds_every_way(planned: tuple[Path, PlanResult]) -> None:
    new = application_of(planned[1])
    outline = shapely.Polygon(FRAME.to_xy(new.outline()))
    ways = shapely.union_all([shapely.linestrings(FRAME.to_xy(flight.places)) for flight in new.flights])
    assert outline.contains(ways.buffer(49.0)) and outline.area < 2.5 * ways.buffer(50.0).convex_hull.area
    assert new.avoided == () and new.top_agl_m >= max(flight.top_agl_m for flight in new.flights) - 0.05


def test_an_approval_that_cannot_be_is_refused_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "operation.json"
    good = {"number": "LY-9", "begin_utc": "2026-11-23T01:00:00Z", "end_utc": "2026-11-23T09:00:00Z"}
    for wrong, said in (
        ({"end_utc": "2026-11-23T00:00:00Z"}, "LY-9 ends before it begins"),
        ({"corners": [[118.3, 35.0], [118.4, 35.1], [118.4, 35.0], [118.3, 35.1]]}, "no simple polygon"),
        ({"begin_utc": "2026-11-23T01:00:00"}, "timezone"),
    ):
        path.write_text(json.dumps({"approvals": [good | wrong]}))
        with pytest.raises(MissionsError, match=said):
            read_operation(path)


def test_rules_name_article_and_remedy(planned: tuple[Path, PlanResult]) -> None:
    _, result = planned
    early = START - timedelta(days=3)
    graded = {check.name: check for check in check_rules(result, now_utc=early)}
    assert graded["approval"].grade == "ok" and graded["insurance"].grade == "warn"
    crowd = Operation(over_crowds=True, insured_until=date(2026, 1, 1))
    graded = {check.name: check for check in check_rules(result, crowd, now_utc=early)}
    assert graded["approval"].grade == "warn" and "2026-11-22 12:00" in graded["approval"].detail
    assert graded["insurance"].grade == "block"
    late = {check.name: check for check in check_rules(result, crowd, now_utc=START - timedelta(hours=1))}
    assert late["approval"].grade == "block"
    approval = Approval(number="LY-1", begin_utc=START - timedelta(hours=1), end_utc=START + timedelta(hours=9))
    approved = check_rules(result, crowd.model_copy(update={"approvals": (approval,)}), now_utc=START)
    assert approved[0].grade == "ok"
    with pytest.raises(MissionsError, match=r"insurance \(761 art. 12"):
        require(approved)
    require(approved, blocking=False)


def test_the_sun_sets_in_linyi() -> None:
    # 23 November: sunrise 06:49, sunset 16:56 local time (almanac, to the minute).
    for local, dark in ((6.6, True), (7.1, False), (16.8, False), (17.1, True)):
        at = datetime(2026, 11, 23, tzinfo=UTC) + timedelta(hours=local - 8)
        assert is_dark(at, 118.35, 35.10) is dark


def test_reasons_sheets_and_pictures(planned: tuple[Path, PlanResult], tmp_path: Path) -> None:
    _, result = planned
    reasons = "\n".join(explain(result))
    assert all(word in reasons for word in ("part 1: lanes at", "split: 2 sorties", "ratio", "crews: 2"))
    draw_preview(result, tmp_path / "plan.png")
    with Image.open(tmp_path / "plan.png") as image:
        assert len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 20
    write_crew_sheet(result, tmp_path / "crews.pdf")
    write_application(application_of(result, check_rules(result)), tmp_path / "application.pdf")
    for name in ("crews.pdf", "application.pdf"):
        assert (tmp_path / name).read_bytes().startswith(b"%PDF") and (tmp_path / name).stat().st_size > 1500
