"""The main job from end to end on a simulated town: two days, two aircraft, what was built and dumped between.

Only `yunxun.truth` reads the truth file, after everything was found, judged and filed.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from inference.sites import SiteCollection, read_sites
from yunxun.conductor import PatrolInputs, PatrolRun, StageDone
from yunxun.console import Report
from yunxun.errors import YunxunError
from yunxun.filing import file_sites
from yunxun.serve import require_free_port, running
from yunxun.settings import Settings, load_settings
from yunxun.simulation import GroundSpec, town_day
from yunxun.truth import Comparison, compare
from yunxun.workspace import PatrolFolder

CENTRE = (118.3500, 35.0500)
SIZE_M = 400.0
BASE_ALT_AMSL_M = 60.0
GSD_CM = 8.0
VEHICLES = 2
SPEEDUP = 60.0
# The scripted reviewer says yes from here up; a person would look instead.
ACCEPT_FROM = 0.5
FIRST_DAY = datetime(2026, 11, 16, 2, 0, tzinfo=UTC)


@dataclass
class DemoOutcome:
    """What the demo shows, and the way to leave its web app up."""

    result: dict[str, Any]
    lines: list[str]
    settings: Settings
    address: str
    kept: ExitStack = field(repr=False)
    watch: Callable[[Callable[[str], None]], None] | None = None

    def stay(self, say: Callable[[str], None]) -> None:
        """Keeps the web app up until Ctrl-C."""
        if self.watch is None:
            return
        say(f"\nopen {self.address}/ and judge the candidates (user demo, password {demo_password()}); Ctrl-C ends")
        try:
            self.watch(say)
        except KeyboardInterrupt:
            say("stopping")
        finally:
            self.kept.close()


def demo_password() -> str:
    """Of the demo's reviewer on this machine's loopback; YUNXUN_DEMO_PASSWORD wins."""
    return os.environ.get("YUNXUN_DEMO_PASSWORD", "yunxun-demo")


def run_demo(
    out: Path,
    seed: int,
    *,
    port: int,
    stay: bool,
    report: Report,
    say: Callable[[str], None] | None,
    size_m: float = SIZE_M,
) -> DemoOutcome:
    """Runs the demo into `out`.

    Args:
        out: Folder to write to; an earlier demo there is replaced, anything else is refused.
        seed: Of the town and of its second day.
        port: Of the API.
        stay: Whether the web app stays up for a person, who then judges instead of the script.
        report: Progress.
        say: Tells the person what happens, or None.
        size_m: Side of the square town.

    Raises:
        YunxunError: `out` holds something else.
    """
    tell = say or (lambda line: None)
    _clear(out)
    began_s = time.monotonic()
    with ExitStack() as stack:
        specs = [GroundSpec(seed=seed, day=day, centre=CENTRE, size_m=(size_m, size_m)) for day in (0, 1)]
        town = _make_town(out / "town", specs[1])
        days = [_fly_day(out, spec, report, tell) for spec in specs]
        settings = load_settings({**os.environ, "YUNXUN_BROKER_URL": "", "YUNXUN_DATABASE_URL": ""}, out / "data")
        port = _a_free_port(port)
        supervisor = stack.enter_context(running(settings, "127.0.0.1", port, worker=stay))
        address = f"http://127.0.0.1:{port}"
        found = read_sites(days[1].sites)
        tokens = _accounts(settings)
        _register(address, tokens["admin"], days)
        filed = file_sites(days[1].sites, address, tokens["officer"], out / "spool")
        tell(f"filed {filed.filed} candidates over HTTP")
        reviewed = [] if stay else review_by_script(address, tokens["reviewer"], found)
        events = read_feed(address, tokens["officer"])
        cases = read_feed(address, tokens["platform"])
        comparison = compare(town / "truth.geojson", found)
        from yunxun.demo_picture import draw_demo

        draw_demo(out / "demo.png", days, found, comparison)
        wall_s = time.monotonic() - began_s
        result = _result(seed, comparison, found, reviewed, events, cases, wall_s)
        lines = [*_lines(comparison, found, events, reviewed), f"drawn in {out / 'demo.png'}; {wall_s:.0f} s"]
        (out / "demo.json").write_text(json.dumps(result, ensure_ascii=False, indent=1), encoding="utf-8")
        if stay:
            watch = lambda tell: supervisor.watch(lambda name, code: tell(f"{name} ended with {code}"))  # noqa: E731
            return DemoOutcome(result, lines, settings, address, stack.pop_all(), watch)
    return DemoOutcome(result, lines, settings, address, ExitStack())


def _clear(out: Path) -> None:
    if out.exists() and any(out.iterdir()) and not (out / "town").is_dir():
        raise YunxunError(f"{out} holds something else: give --out an empty or new folder")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)


def _a_free_port(port: int) -> int:
    for candidate in range(port, port + 50):
        try:
            require_free_port("127.0.0.1", candidate)
        except YunxunError:
            continue
        return candidate
    raise YunxunError(f"no free port between {port} and {port + 49}")


def _make_town(folder: Path, spec: GroundSpec) -> Path:
    folder.mkdir(parents=True)
    second = town_day(spec, BASE_ALT_AMSL_M)
    second.write_area(folder / "area.geojson")
    second.write_dem(folder / "dem.tif")
    second.write_permits(folder / "permits.geojson", FIRST_DAY + timedelta(days=7))
    second.write_truth(folder / "truth.geojson")
    return folder


def _fly_day(out: Path, spec: GroundSpec, report: Report, tell: Callable[[str], None]) -> PatrolFolder:
    """One day: plan, fly with two vehicles, stitch; on the second day judge against the first."""
    day = spec.day
    folder = PatrolFolder(out / f"day{day + 1}")
    town = out / "town"
    inputs = PatrolInputs(
        area=town / "area.geojson", dem=town / "dem.tif", aircraft="arducopter", gsd_cm=GSD_CM, simulate=VEHICLES,
        speedup=SPEEDUP, ground=str(spec), start_utc=FIRST_DAY + timedelta(days=7 * day),
        baseline=out / "day1" if day else None, permits=town / "permits.geojson" if day else None, judge=bool(day),
    )  # fmt: skip
    tell(f"day {day + 1}")

    def told(stage: StageDone) -> None:
        tell(f"  {stage.name:<7} {stage.wall_s:5.1f} s  {_told(stage.name, stage.result)}")

    PatrolRun(folder, inputs, report, told).run()
    return folder


def _told(name: str, result: dict[str, Any]) -> str:
    if name == "plan":
        return f"{len(result['sorties'])} sorties, {result['coverage']['seen_twice']:.1%} seen in two strips"
    if name == "fly":
        return ", ".join(f"{s['id'][-3:]} {s['state']} with {s['photos']} photographs" for s in result["sorties"])
    if name == "stitch":
        tie = result["tie_rms_px"]
        told = "no ties" if tie is None else f"withheld ties {tie:.2f} px RMS"
        return f"{result['frames_matched']} of {result['frames_total']} frames matched, {told}"
    return f"{len(result['features'])} candidates"


def _accounts(settings: Settings) -> dict[str, str]:
    """Tokens of each role, and a person's account for the web app."""
    from api.auth.service import add_user, issue_token
    from api.database import Database

    database = Database(settings.database_url, pool_size=1)
    try:
        with database.write() as session:
            add_user(session, "demo", "officer", demo_password())
            return {
                role: issue_token(session, role, name=f"demo-{role}", lifetime_s=86400.0)
                for role in ("admin", "officer", "reviewer", "platform")
            }
    finally:
        database.close()


def _register(address: str, token: str, days: list[PatrolFolder]) -> None:
    """Tells the API where each day's files lie, as `yunxun patrol --api` does."""
    from yunxun.jobs import products

    with _client(address, token) as client:
        for folder, baseline in zip(days, [None, days[0].root], strict=True):
            new = products(folder, folder.ensure_record().patrol_id, baseline)
            body = {"id": new.id, "name": f"演示 {folder.root.name}", "place": "演示镇", "paths": new.paths}
            if new.baseline_patrol_id:
                body["baseline_patrol_id"] = new.baseline_patrol_id
            _require(client.post("/api/v1/patrols", json=body))


def _client(address: str, token: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=address, headers=headers, timeout=30.0, trust_env=False)


def _require(answer: httpx.Response) -> Any:
    if not answer.is_success:
        raise YunxunError(f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:300]}")
    return answer.json()


def review_by_script(address: str, token: str, found: SiteCollection) -> list[dict[str, Any]]:
    """A scripted reviewer decides by probability alone, over HTTP, and is recorded as a script."""
    decided = []
    with _client(address, token) as client:
        for feature in found.features:
            site = feature.properties
            if site.permitted:
                continue
            yes = site.probability >= ACCEPT_FROM
            body: dict[str, Any] = {"decision": "accept" if yes else "reject", "scripted": True}
            if yes:
                lon, lat = _somewhere(feature.geometry)
                body["address"] = f"演示镇 {lon:.5f}E {lat:.5f}N 处"
            else:
                body["reason"] = "not_a_problem"
            path = f"/api/v1/candidates/{found.patrol_id}/{site.n}/review"
            decided.append(_require(client.post(path, json=body)))
    return decided


def _somewhere(geometry: dict[str, Any]) -> tuple[float, float]:
    from shapely.geometry import shape

    point = shape(geometry).representative_point()
    return point.x, point.y


def read_feed(address: str, token: str) -> list[dict[str, Any]]:
    """The whole feed, page by page, as a consumer reads it."""
    events: list[dict[str, Any]] = []
    with _client(address, token) as client:
        while True:
            params = {"limit": 100, **({"lastEventId": events[-1]["id"]} if events else {})}
            page = _require(client.get("/api/v1/feed", params=params))
            if not page:
                return events
            events += page


def _result(
    seed: int, comparison: Comparison, found: SiteCollection, reviewed: list[dict[str, Any]],
    events: list[dict[str, Any]], cases: list[dict[str, Any]], wall_s: float,
) -> dict[str, Any]:  # fmt: skip
    unpermitted, permitted = comparison.count("construction", False), comparison.count("construction", True)
    heaps = comparison.count("sanitation")
    on_permitted = {n for t in comparison.things if t.permitted for n in t.candidates}
    wrongly = [f.properties.n for f in found.features if f.properties.n in on_permitted and not f.properties.permitted]
    return {
        "seed": seed,
        "candidates": len(found.features),
        "unpermitted_found": unpermitted[0],
        "unpermitted": unpermitted[1],
        "permitted_seen": permitted[0],
        "permitted_filed": len(wrongly),
        "heaps_found": heaps[0],
        "heaps": heaps[1],
        "false": len(comparison.false),
        "reviewed": len(reviewed),
        "cases_filed": sum(event["type"] == "case.filed" for event in cases),
        "events": len(events),
        "wall_s": round(wall_s, 1),
    }


def _lines(
    comparison: Comparison, found: SiteCollection, events: list[dict[str, Any]], reviewed: list[dict[str, Any]]
) -> list[str]:
    by_n = {f.properties.n: f.properties for f in found.features}
    lines = ["", "truth                                   found"]
    for thing in comparison.things:
        permit = {True: "permitted", False: "no permit", None: ""}[thing.permitted]
        left = f"{thing.label:<16} {thing.area_m2:6.1f} m2  {permit:<10}"
        right = ", ".join(
            f"no. {n} {by_n[n].label} p={by_n[n].probability:.2f}"
            + ("" if by_n[n].height_change_m is None else f" {by_n[n].height_change_m:+.1f} m")
            + (f" (permit {by_n[n].permit_no})" if by_n[n].permitted else "")
            for n in thing.candidates
        )
        nothing = "- not put before a reviewer" if thing.permitted else "- missed"
        lines.append(f"{left:<40}{right or nothing}")
    for n in comparison.false:
        lines.append(f"{'- nothing':<40}no. {n} {by_n[n].label} p={by_n[n].probability:.2f}")
    lines += ["", f"feed: {len(events)} events, of which the last of each kind:"]
    last = {event["type"]: event for event in events}
    lines += [f"  {event['id']:<14} {kind:<20} {event['subject']}" for kind, event in last.items()]
    if reviewed:
        lines.append(f"{len(reviewed)} candidates judged by the scripted reviewer (accepts from p = {ACCEPT_FROM})")
    return lines
