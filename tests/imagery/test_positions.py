"""Positions from logs: our own, RTK marks, and other makers' tables."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from flight.capturelog import Capture, write_captures
from imagery.errors import ImageryError
from imagery.photo import Photo
from imagery.positions import apply_positions

TIME = datetime(2026, 5, 1, 2, 0, tzinfo=UTC)


def photo(folder: Path, file: str, sortie: str = "", **more: object) -> Photo:
    values = {"width_px": 100, "height_px": 80, "camera": "x", "focal_px": 90.0, "time_utc": TIME}
    return Photo(path=folder / file, file=file, id=file, sortie_id=sortie, **(values | more))  # type: ignore[arg-type]


def capture(sortie: str, file: str, lon: float) -> Capture:
    return Capture(
        time_utc=TIME, sortie_id=f"P/{sortie}", aircraft_id="1", index=1, file=file, lon=lon, lat=35.0,
        alt_amsl_m=150.0, height_rel_m=90.0, camera_roll_deg=0.5, camera_pitch_deg=-90.0, camera_yaw_deg=12.0,
        fix="3d", std_h_m=1.2, std_v_m=2.5,
    )  # fmt: skip


def test_captures_beside_the_frames_are_found_and_sorties_kept_apart(tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for sortie, lon in (("S01", 118.1), ("S02", 118.2)):
        write_captures(tmp_path / "flight" / f"{sortie}.captures.csv", [capture(sortie, "DJI_0001.JPG", lon)])
    photos = [photo(frames, f"{sortie}/DJI_0001.JPG", sortie) for sortie in ("S01", "S02")]
    placed = apply_positions(photos, frames)
    assert [p.lon for p in placed] == [118.1, 118.2]
    assert placed[0].yaw_deg == 12.0 and placed[0].height_rel_m == 90.0 and placed[0].std_h_m == 1.2


def test_an_rtk_fix_in_the_photograph_is_not_overwritten(tmp_path: Path) -> None:
    write_captures(tmp_path / "captures.csv", [capture("S01", "a.jpg", 118.1)])
    (own,) = apply_positions([photo(tmp_path, "a.jpg", lon=118.9, lat=35.9, fix="rtk")], tmp_path)
    assert own.lon == 118.9


MARK = (
    "{n}\t{t:.6f}\t[2180]\t   12,N\t    -5,E\t   193,V\t{lat:.8f},Lat\t{lon:.8f},Lon\t98.765,Ellh\t"
    "0.011000, 0.012000, 0.025000\t{q},Q"
)


def test_rtk_marks_by_order_with_the_lens_offset(tmp_path: Path) -> None:
    lines = [MARK.format(n=n, t=1000 + n, lat=35.0 + n * 1e-4, lon=118.0, q=50 if n == 1 else 16) for n in (1, 2)]
    (tmp_path / "DJI_Timestamp.MRK").write_text("\n".join(lines))
    first, second = apply_positions([photo(tmp_path, "b.jpg"), photo(tmp_path, "a.jpg")], tmp_path)
    assert second.fix == "rtk" and first.fix == "3d"
    assert second.lat == pytest.approx(35.0001 + 0.012 / 111_320.0, abs=1e-9)
    assert second.lon is not None and second.lon < 118.0
    assert second.alt_amsl_m == pytest.approx(98.765 - 0.193)
    assert second.std_h_m == 0.012 and second.std_v_m == 0.025


def test_marks_that_do_not_count_up_to_the_photographs_are_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "x_Timestamp.MRK").write_text(MARK.format(n=1, t=1, lat=35.0, lon=118.0, q=50))
    photos = apply_positions([photo(tmp_path, "a.jpg"), photo(tmp_path, "b.jpg")], tmp_path)
    assert all(p.lon is None for p in photos)


@pytest.mark.parametrize(
    "table",
    [
        "Label;X/Longitude;Y/Latitude;Z/Altitude\na.jpg;118.5;35.5;77\n",
        "image name,latitude [decimal degrees],longitude [decimal degrees],altitude [meter]\nA.JPG,35.5,118.5,77\n",
        "time_utc\tlat\tlon\talt\n2026-05-01T02:00:00.4Z\t35.5\t118.5\t77\n",
    ],
)
def test_other_makers_tables(tmp_path: Path, table: str) -> None:
    log = tmp_path / "positions.csv"
    log.write_text(table)
    (placed,) = apply_positions([photo(tmp_path, "a.jpg")], tmp_path, [log])
    assert (placed.lon, placed.lat, placed.alt_amsl_m) == (118.5, 35.5, 77.0)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("a,b\n1,2\n", "expected columns"),
        ("file,lon,lat\na.jpg,east,35\n", "line 2: lon is not a number"),
        ("file,lon,lat\na.jpg,622000,3879000\n", "line 2: expected longitude and latitude in degrees"),
    ],
)
def test_unreadable_tables_are_named_with_their_line(tmp_path: Path, table: str, says: str) -> None:
    log = tmp_path / "positions.csv"
    log.write_text(table)
    with pytest.raises(ImageryError, match=says):
        apply_positions([photo(tmp_path, "a.jpg")], tmp_path, [log])


def test_a_log_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageryError, match="no capture log"):
        apply_positions([], tmp_path, [tmp_path / "none.csv"])


EVENTS = """% program   : RTKLIB
%  GPST                  latitude(deg) longitude(deg)  height(m)   Q  ns   sdn(m)   sde(m)   sdu(m)
2026/05/01 02:00:18.000   35.050000100  118.350000200   101.2500   1  14   0.0100   0.0120   0.0300
2026/05/01 02:00:20.500   35.050100100  118.350000200   101.2600   5   9   1.0100   1.2000   2.0300
"""


def test_positions_computed_afterwards_go_to_their_photographs_in_order(tmp_path: Path) -> None:
    (tmp_path / "flight_events.pos").write_text(EVENTS)
    photos = [photo(tmp_path, name, lon=1.0, lat=2.0) for name in ("a.jpg", "b.jpg")]
    one, two = apply_positions(photos, tmp_path)
    assert (one.lat, one.lon, one.alt_amsl_m, one.fix, one.std_h_m) == (35.0500001, 118.3500002, 101.25, "rtk", 0.012)
    assert two.fix == "3d" and two.std_v_m == 2.03


def test_an_event_more_than_there_are_photographs_goes_by_time(tmp_path: Path) -> None:
    (tmp_path / "flight_events.pos").write_text(EVENTS)
    (only,) = apply_positions([photo(tmp_path, "a.jpg", lon=1.0, lat=2.0)], tmp_path)
    assert only.lat == 35.0500001  # 02:00:18 GPS time is 02:00:00 UTC


def test_a_line_that_is_no_event_is_named(tmp_path: Path) -> None:
    (tmp_path / "flight_events.pos").write_text(EVENTS + "2026/05/01 oops\n")
    with pytest.raises(ImageryError, match="line 5: expected"):
        apply_positions([photo(tmp_path, "a.jpg")], tmp_path)
