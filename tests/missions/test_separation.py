"""Own aircraft apart, and the straight flight home: by the planner's choice and by the verifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from missions.airspace import Clearances
from missions.coverage import Strip
from missions.flying import Flown
from missions.layers import Levels, at_level
from missions.plan import Coverage, Refusal, read_plan, write_plan
from missions.planner import PlanRequest, export_plan, plan_patrol
from missions.request import Task, read_task
from missions.reread import reread
from missions.result import PlanResult, Timed, numbered
from missions.roster import Crew, Machine
from missions.route import Route
from missions.routing import Router
from missions.separation import kept_apart
from missions.timetable import charged, worked_s
from missions.verify import verify_plan
from tests.missions.conftest import FRAME, Draw

NOON = datetime(2026, 11, 23, 4, tzinfo=UTC)


def sortie(crew: str, points: list[tuple[float, float]], late_s: float = 0.0, height_m: float = 100.0) -> Timed:
    xy = np.array(points, dtype=float)
    length = float(np.hypot(*np.diff(xy, axis=0).T).sum()) + 2 * height_m
    route = Route(xy, np.full(len(xy), height_m), np.zeros(len(xy), dtype=bool), 20.0)
    flown = Flown(xy[0], route, Strip(50, 40, 20, 10, height_m), length / 10.0, 30.0)
    return Timed(NOON + timedelta(seconds=late_s), crew, flown)


def free(timed: Sequence[Timed], index: int, item: Timed, all_later: bool) -> dict[int, Timed]:
    return {index: item}


def chained(timed: Sequence[Timed], index: int, item: Timed, all_later: bool) -> dict[int, Timed] | None:
    """Only with all that the crew flies afterwards."""
    late = item.end_utc - timed[index].end_utc
    later = {n: o for n, o in enumerate(timed) if o.crew == item.crew and o.start_utc > timed[index].start_utc}
    return (
        {index: item} | {n: replace(o, start_utc=o.start_utc + late) for n, o in later.items()} if all_later else None
    )


def busy(timed: Sequence[Timed], index: int, item: Timed, all_later: bool) -> dict[int, Timed] | None:
    """No later start; other heights may be flown."""
    return {index: item} if item.start_utc == timed[index].start_utc else None


ACROSS = [(0.0, 0.0), (1000.0, 0.0), (0.0, 0.0)]
ATHWART = [(500.0, -500.0), (500.0, 500.0), (500.0, -500.0)]


def test_the_later_of_two_that_would_meet_waits() -> None:
    timed, left = kept_apart([sortie("C01", ACROSS), sortie("C02", ATHWART)], np.zeros(2), free)
    assert left == [] and timed[0].start_utc == NOON
    assert timedelta(0) < timed[1].start_utc - NOON <= timedelta(seconds=120)
    again, _ = kept_apart(timed, np.zeros(2), free)
    assert again == timed


def test_height_and_time_and_one_crew_are_apart_enough() -> None:
    for other in (sortie("C02", ATHWART, height_m=70.0), sortie("C02", ATHWART, late_s=600), sortie("C01", ATHWART)):
        timed = [sortie("C01", ACROSS), other]
        assert kept_apart(timed, np.zeros(2), free) == (timed, [])
    timed = [sortie("C01", ACROSS), sortie("C02", ATHWART, height_m=70.0)]
    assert kept_apart(timed, np.array([0.0, 30.0]), free)[0] != timed


def test_who_cannot_wait_is_named_and_later_sorties_wait_too() -> None:
    timed = [sortie("C01", ACROSS), sortie("C02", ATHWART), sortie("C02", ATHWART, late_s=900)]
    same, left = kept_apart(timed, np.zeros(3), busy)
    assert same == timed and len(left) == 1 and "C01 and C02" in left[0].what
    moved, _ = kept_apart(timed, np.zeros(3), chained)
    assert moved[2].start_utc - timed[2].start_utc == moved[1].start_utc - timed[1].start_utc
    alone, _ = kept_apart(timed, np.zeros(3), free)
    assert alone[2] == timed[2]


def test_who_cannot_wait_crosses_at_another_height(draw: Draw, tmp_path: Path) -> None:
    area = draw("a.geojson", [(shapely.box(-500, -500, 500, 500), {})])
    made: list[tuple[Task, list[Timed]]] = []

    def crossing(**more: Any) -> tuple[list[Timed], list[Refusal]]:
        """A lane of each crew beyond the other's home: their ways cross in the middle at the same time."""
        task = read_task(PlanRequest(area, gsd_m=0.08, start_utc=NOON, **more))
        strip = replace(task.strip, height_agl_m=100.0)
        flights = []
        for crew, unit in (("C01", np.array([1.0, 0.0])), ("C02", np.array([0.0, 1.0]))):
            points = np.array([-500.0, 500.0, 900.0, -500.0])[:, None] * unit
            route = Route(points, np.full(4, 100.0), np.array([False, True, False, False]), 20.0)
            flights.append(Timed(NOON, crew, Flown(points[0], route, strip, *route.time_and_energy(task.model))))
        made.append((task, flights))
        return kept_apart(flights, np.zeros(2), busy, Levels(task).of)

    def meeting_s(timed: list[Timed]) -> float:
        """By the verifier, from the files."""
        task, _ = made[-1]
        plain = PlanResult(
            task, "p", NOON, numbered(task, timed), Coverage(area_m2=0, seen_once=0, seen_twice=0), (), ()
        )
        export_plan(plain, tmp_path / "plan")
        return verify_plan(tmp_path / "plan", None).meeting_s

    (one, other), left = crossing()
    assert left == [] and one.transit_agl_m is None and other.transit_agl_m == 112.5
    assert meeting_s(made[-1][1]) > 0 and meeting_s([one, other]) == 0
    assert other.start_utc == NOON and other.flown.route.height_rel_m.tolist() == [112.5, 112.5, 100, 100, 112.5, 112.5]
    assert other.flown.route.runs_m() == one.flown.route.runs_m() and other.flown.duration_s > one.flown.duration_s
    low = draw("z.geojson", [(shapely.box(-50, -50, 50, 50), {"kind": "ceiling", "max_agl_m": 110, "name": "low"})])
    (one, other), left = crossing(zones=low)
    assert left == [] and other.transit_agl_m == 87.5 and meeting_s([one, other]) == 0
    mast = draw("o.geojson", [(shapely.Point(0, 30), {"top_agl_m": 75, "name": "mast"})])
    (_, other), left = crossing(zones=low, obstacles=mast)
    assert other.transit_agl_m is None and len(left) == 1 and "another height" in left[0].remedy


def test_ways_at_another_height_are_written_and_read_back(draw: Draw, tmp_path: Path) -> None:
    area = draw("a.geojson", [(shapely.box(0, 0, 300, 200), {})])
    result = plan_patrol(PlanRequest(area, gsd_m=0.028, aircraft="mavic3e", start_utc=NOON))
    (planned,) = result.sorties
    moved = replace(planned, route=at_level(planned.route, 12.5), transit_agl_m=planned.strip.height_agl_m + 12.5)
    export_plan(replace(result, sorties=(moved,)), tmp_path / "plan")
    assert verify_plan(tmp_path / "plan", area).faults == ()
    (_, _, (again,)) = reread(tmp_path / "plan")
    assert again.route.height_rel_m == pytest.approx(moved.route.height_rel_m, abs=0.01)
    assert again.route.shooting.tolist() == moved.route.shooting.tolist()
    assert len(again.exposures()[0]) == planned.route.photos == again.sortie.photos


def test_a_wait_leaves_every_take_off_a_full_battery(draw: Draw) -> None:
    crew = Crew("C01", "P01", None, Machine(aircraft="A1", model="mavic3e", batteries=2, chargers=1),
                ((NOON, NOON + timedelta(hours=8)),), False)  # fmt: skip
    task = read_task(PlanRequest(draw("a.geojson", [(shapely.box(0, 0, 300, 200), {})]), aircraft="mavic3e"))
    task = replace(task, start_utc=NOON)

    def flights(*minutes: float) -> list[tuple[datetime, datetime]]:
        return [(NOON + timedelta(minutes=m), NOON + timedelta(minutes=m + 20)) for m in minutes]

    # One charger at 70 minutes a battery: the first is full again at 90, the second, down at 45, at 160.
    assert charged(task, crew, flights(0, 25, 90, 160)) and worked_s(crew.shifts, NOON + timedelta(hours=9)) == 8 * 3600
    assert not charged(task, crew, flights(0, 25, 89)) and not charged(task, crew, flights(0, 25, 90, 159))
    assert not charged(task, crew, flights(5, 25, 90))


def test_the_verifier_sees_two_aircraft_meet(town: Path, tmp_path: Path) -> None:
    site = tuple(FRAME.to_lonlat([(200, -20)])[0])
    export_plan(plan_patrol(PlanRequest(town, gsd_m=0.08, crews=2, sites=(site,))), tmp_path / "p")
    assert verify_plan(tmp_path / "p", town).meeting_s == 0
    plan = read_plan(tmp_path / "p")
    first = plan.sorties[0]
    twin = first.model_copy(update={"id": plan.sorties[1].id, "crew": "C02"})
    write_plan(plan.model_copy(update={"sorties": (first, twin)}), tmp_path / "p" / "plan.json")
    verdict = verify_plan(tmp_path / "p", town)
    assert verdict.meeting_s > 30 and "meet for" in verdict.warnings[0]


def test_hidden_is_what_the_triangle_to_home_crosses() -> None:
    router = Router([shapely.box(40, 40, 60, 60)])
    homes = np.array([[0.0, 0.0], [100.0, 0.0]])
    start, end = (
        np.array([[90.0, 80.0], [0.0, 100.0], [30.0, 100.0]]),
        np.array([[80.0, 90.0], [10.0, 100.0], [100.0, 70.0]]),
    )
    assert router.hidden(homes, start, end).tolist() == [[True, False, True], [False, True, True]]
    assert not Router([]).hidden(homes, start, end).any()


@pytest.fixture
def walled(draw: Draw) -> tuple[Path, Path]:
    """A square with a zone in its middle that hides a third of it from any one side."""
    zone = (shapely.box(250, 150, 450, 550), {"kind": "no-fly", "name": "wall"})
    return draw("a.geojson", [(shapely.box(0, 0, 700, 700), {})]), draw("z.geojson", [zone])


def test_sites_are_chosen_so_that_the_way_home_is_clear(walled: tuple[Path, Path], tmp_path: Path) -> None:
    area, zones = walled
    west = tuple(FRAME.to_lonlat([(-30, 350)])[0])
    poor = plan_patrol(PlanRequest(area, zones=zones, gsd_m=0.08, sites=(west,)))
    export_plan(poor, tmp_path / "poor")
    blind = verify_plan(tmp_path / "poor", area, zones)
    assert blind.closed_m == 0 and blind.return_m > 300 and "wall" in blind.warnings[0]
    assert any("straight flight home" in item.why for item in poor.refused)
    export_plan(plan_patrol(PlanRequest(area, zones=zones, gsd_m=0.08)), tmp_path / "good")
    assert verify_plan(tmp_path / "good", area, zones).return_m < 0.2 * blind.return_m


def test_a_clear_way_home_may_be_demanded(walled: tuple[Path, Path], tmp_path: Path) -> None:
    area, zones = walled
    west = tuple(FRAME.to_lonlat([(-30, 350)])[0])
    strict = Clearances(straight_home=True)
    result = plan_patrol(PlanRequest(area, zones=zones, gsd_m=0.08, sites=(west,), clearances=strict))
    assert any("stretches of lane" in item.what for item in result.refused)
    lanes = [s.route.points[i : i + 2] for s in result.sorties for i in np.flatnonzero(s.route.shooting)]
    home = result.task.frame.to_xy([west])[0]
    closed = result.task.airspace.no_fly
    assert not any(shapely.linestrings([home, end]).intersects(closed) for lane in lanes for end in lane)
    assert replace(strict, straight_home=False) == Clearances()
