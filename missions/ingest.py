"""A memory card after the flight: photographs sorted into sorties, what was missed, and the files to fly for it."""

from __future__ import annotations

import filecmp
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from missions.errors import MissionsError
from missions.exif import DEFAULT_ZONE, Shot, read_shot
from missions.export.qgc import PlanFile, write_plan_file
from missions.export.wpl import write_waypoints
from missions.files import write_text_atomically
from missions.frame import Array, LocalFrame
from missions.reread import Reread, reread
from missions.route import Route, mission_items

_SUFFIXES = (".jpg", ".jpeg", ".tif", ".tiff", ".png", ".dng")
# Photographs further apart in time belong to two flights: a battery swap takes minutes, a way between lanes one.
_FLIGHT_GAP_S = 150.0
# GPS error of the photograph plus the lag of the trigger: farther away it is not the planned photograph.
_NEAR_M = 12.0
_VOTE_M = 40.0
# Neighbouring sorties' lanes lie a lane apart, and a few photographs stray: fewer than one in ten.
_MAJORITY = 0.9
_READERS = 8


@dataclass(frozen=True)
class Missed:
    """Planned photographs that no photograph of the card answers.

    Attributes:
        sortie: Short id.
        places: (n, 2) lon, lat of them.
        trailing: How many of them are the sortie's end: what a resume flies; the rest is re-flown.
    """

    sortie: str
    places: Array
    trailing: int


@dataclass(frozen=True)
class Ingest:
    """What became of a card.

    Attributes:
        sorted: Photographs by sortie's short id, in order of time.
        set_aside: (file, why) of the rest.
        missed: Per sortie with gaps.
        files: Mission files written, relative to the output folder.
        absent: Sorties of which the card holds nothing: not flown, or on another card.
    """

    sorted: dict[str, tuple[Path, ...]]
    set_aside: tuple[tuple[Path, str], ...]
    missed: tuple[Missed, ...]
    files: tuple[str, ...]
    absent: tuple[str, ...] = ()


def _photographs(card: Path) -> list[Path]:
    if not card.is_dir():
        raise MissionsError(f"no folder at {card}: give the card's folder, such as DCIM")
    found = sorted(path for path in card.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())
    if not found:
        raise MissionsError(
            f"{card} holds no photographs ({', '.join(_SUFFIXES)}): give the card's folder, such as DCIM"
        )
    return found


def _flights(shots: list[Shot]) -> list[list[Shot]]:
    """Photographs of one camera and folder in order of time, cut where the aircraft must have been on the ground."""
    flights: list[list[Shot]] = []
    timed = [shot for shot in shots if shot.time_utc is not None]
    for shot in sorted(timed, key=lambda s: (str(s.path.parent), s.camera, s.time_utc, s.path.name)):
        last = flights[-1][-1] if flights else None
        if (
            last is None
            or shot.time_utc is None
            or last.time_utc is None
            or (last.path.parent, last.camera) != (shot.path.parent, shot.camera)
            or (shot.time_utc - last.time_utc).total_seconds() > _FLIGHT_GAP_S
        ):
            flights.append([])
        flights[-1].append(shot)
    # Without any time each photograph is judged by its place alone.
    return flights + [[shot] for shot in shots if shot.time_utc is None]


class _Planned:
    """Planned photographs of all sorties, to be looked up by place."""

    def __init__(self, sorties: list[Reread], frame: LocalFrame) -> None:
        self.frame = frame
        self.names = [sortie.sortie.short_id for sortie in sorties]
        self.places = [sortie.exposures()[0] for sortie in sorties]
        self.owner = np.concatenate([np.full(len(places), index) for index, places in enumerate(self.places)])
        self.tree = cKDTree(np.concatenate(self.places))

    def owners(self, flight: list[Shot]) -> list[int | None]:
        """The sortie of each photograph of a flight.

        A flight that lies on one sortie belongs to it whole, with what has no position or strayed; one that lies on two
        (aircraft that shared a card, a swap that nobody noticed) is dealt photograph by photograph, by place.
        """
        located = [index for index, shot in enumerate(flight) if shot.lonlat is not None]
        found: list[int | None] = [None] * len(flight)
        if not located:
            return found
        distance, nearest = self.tree.query(self.xy(flight))
        for index, away, at in zip(located, distance, nearest, strict=True):
            found[index] = int(self.owner[at]) if away <= _VOTE_M else None
        votes = [owner for owner in found if owner is not None]
        if votes and votes.count(winner := max(set(votes), key=votes.count)) >= _MAJORITY * len(votes):
            return [winner] * len(flight)
        return found

    def xy(self, flight: Iterable[Shot]) -> Array:
        return self.frame.to_xy(np.array([shot.lonlat for shot in flight if shot.lonlat is not None]).reshape(-1, 2))


def _sort(shots: list[Shot], planned: _Planned) -> tuple[dict[str, list[Shot]], list[tuple[Path, str]]]:
    found: dict[str, list[Shot]] = {}
    aside = []
    for flight in _flights(shots):
        for shot, owner in zip(flight, planned.owners(flight), strict=True):
            if owner is not None:
                found.setdefault(planned.names[owner], []).append(shot)
                continue
            why = "no position and no flight to belong to" if shot.lonlat is None else "not on any planned lane"
            aside.append((shot.path, why))
    return found, aside


def _gaps(sortie: Reread, taken: Array, near_m: float) -> NDArray[np.bool_]:
    """Which planned photographs (n,) none was taken near."""
    places, _ = sortie.exposures()
    if not len(taken):
        return np.ones(len(places), dtype=bool)
    distance, _ = cKDTree(taken).query(places)
    return np.asarray(distance > near_m)


def _stretches(missing: NDArray[np.bool_], stretch: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Runs (first, last) of missing photographs with one photograph of overlap on either side, lane by lane."""
    runs: list[tuple[int, int]] = []
    for index in map(int, np.flatnonzero(missing)):
        if runs and index == runs[-1][1] + 1 and stretch[index] == stretch[index - 1]:
            runs[-1] = (runs[-1][0], index)
        else:
            runs.append((index, index))
    last = len(missing) - 1
    wider = []
    for first, end in runs:
        low = first - 1 if first > 0 and stretch[first - 1] == stretch[first] else first
        high = end + 1 if end < last and stretch[end + 1] == stretch[end] else end
        wider.append((low, high))
    return wider


def again(sortie: Reread, runs: list[tuple[int, int]]) -> Route | None:
    """The sortie's own way with the camera on over some of its photographs only; None where there are none.

    It keeps to the planned way throughout, which is known to be clear, but leaves out what lies before the first and
    after the last stretch where the way home from there is the shorter one.
    """
    if not runs:
        return None
    places, _ = sortie.exposures()
    route = sortie.route
    if route.stops:
        # Sorties stop at places or fly along lanes, never both: the planned way, with the missed photographs only.
        wanted = {index for first, last in runs for index in range(first, last + 1)}
        return replace(route, stops=tuple(stop for index, stop in enumerate(route.stops) if index in wanted))
    done = np.concatenate([[0.0], np.cumsum(route.legs_m)])
    at = _progress(route, places)
    marks = sorted({*done.tolist(), *(float(at[index]) for run in runs for index in run)})
    spans = [(float(at[a]), float(at[b]) + 0.5) for a, b in runs]
    marks = sorted({*marks, *(min(b, float(done[-1])) for _, b in spans)})
    points = np.column_stack([np.interp(marks, done, route.points[:, axis]) for axis in (0, 1)])
    heights = np.interp(marks, done, route.height_rel_m)
    middle = (np.array(marks[:-1]) + np.array(marks[1:])) / 2
    shooting = np.append([any(a <= value < b for a, b in spans) for value in middle], False)
    return _shortened(replace(route, points=points, height_rel_m=heights, shooting=shooting))


def _progress(route: Route, places: Array) -> Array:
    """Distance flown at each planned photograph."""
    done = np.concatenate([[0.0], np.cumsum(route.legs_m)])
    at, number = np.empty(len(places)), 0
    for index in np.flatnonzero(route.shooting):
        start, length = route.points[index], float(route.legs_m[index])
        while number < len(places):
            off = float(np.hypot(*(places[number] - start)))
            along = float(np.dot(places[number] - start, route.points[index + 1] - start)) / max(length, 1e-9)
            if off > length + 0.02 or along < -0.02 or abs(off - along) > 0.05:
                break
            at[number] = done[index] + along
            number += 1
    return at[:number]


def _shortened(route: Route) -> Route:
    """Flies the way out or back over the planned way's shorter end."""
    on = np.flatnonzero(route.shooting)
    first, last = int(on[0]), int(on[-1]) + 1
    done = np.concatenate([[0.0], np.cumsum(route.legs_m)])
    points, heights, shooting = route.points, route.height_rel_m, route.shooting
    if done[first] > done[-1] - done[first]:
        # Out along the planned way home, backwards.
        out = slice(len(points) - 1, first, -1)
        points = np.concatenate([points[out], points[first:]])
        heights = np.concatenate([heights[out], heights[first:]])
        before = len(route.points) - 1 - first
        shooting = np.concatenate([np.zeros(before, dtype=bool), shooting[first:]])
        last += before - first
    if (done[-1] - done[int(on[-1]) + 1]) > done[int(on[-1]) + 1]:
        back = route.points[: int(on[-1]) + 1][::-1]
        points = np.concatenate([points[: last + 1], back])
        heights = np.concatenate([heights[: last + 1], route.height_rel_m[: int(on[-1]) + 1][::-1]])
        shooting = np.concatenate([shooting[:last], np.zeros(len(back) + 1, dtype=bool)])
    return replace(route, points=points, height_rel_m=heights, shooting=shooting)


def _write_route(route: Route, sortie: Reread, frame: LocalFrame, out: Path, stem: str, speed_mps: float) -> list[str]:
    items = mission_items(route, frame, sortie.sortie.home, speed_mps)
    write_waypoints(items, out / f"{stem}.waypoints")
    write_plan_file(PlanFile(items=tuple(items), home=sortie.sortie.home, cruise_mps=speed_mps), out / f"{stem}.plan")
    return [f"{stem}.waypoints", f"{stem}.plan"]


def _missed(sortie: Reread, gaps: NDArray[np.bool_], frame: LocalFrame) -> Missed:
    taken = np.flatnonzero(~gaps)
    trailing = len(gaps) - 1 - int(taken[-1]) if len(taken) else len(gaps)
    return Missed(sortie.sortie.short_id, frame.to_lonlat(sortie.exposures()[0][gaps]), trailing)


def _write_rest(
    sortie: Reread, gaps: NDArray[np.bool_], trailing: int, frame: LocalFrame, out: Path, speed_mps: float
) -> list[str]:
    """What is to be flown for a sortie's gaps: its end as a resume, the rest as a re-fly."""
    runs = _stretches(gaps, sortie.exposures()[1])
    begin = len(gaps) - trailing
    resume = [run for run in runs if run[1] >= begin and run[0] >= begin - 1]
    files: list[str] = []
    for kind, part in (("refly", [run for run in runs if run not in resume]), ("resume", resume)):
        route = again(sortie, part)
        if route is not None:
            files += _write_route(route, sortie, frame, out, f"{sortie.sortie.short_id}.{kind}", speed_mps)
    return files


def _free_name(folder: Path, source: Path) -> Path:
    """A name in a folder under which a photograph may lie: its own, unless another one has it already."""
    names = itertools.chain(
        [source.name, f"{source.parent.name}_{source.name}"],
        (f"{source.stem}_{number}{source.suffix}" for number in itertools.count(2)),
    )
    return next(
        target for name in names if not (target := folder / name).exists() or filecmp.cmp(target, source, shallow=False)
    )


def _copy(shots: Iterable[Shot], folder: Path) -> tuple[Path, ...]:
    """Puts photographs into a folder under their own names (linked where the disk allows, else copied)."""
    folder.mkdir(parents=True, exist_ok=True)
    placed = []
    for shot in shots:
        target = _free_name(folder, shot.path)
        if not target.exists():
            temporary = folder / f".{target.name}.part"
            temporary.unlink(missing_ok=True)
            try:
                os.link(shot.path, temporary)
            except OSError:
                shutil.copy2(shot.path, temporary)
            temporary.replace(target)
        placed.append(target)
    return tuple(placed)


def _once_each(shots: list[Shot]) -> tuple[list[Shot], list[tuple[Path, str]]]:
    """Photographs without further copies of the same ones, and these copies."""
    kept: dict[tuple[object, ...], list[Shot]] = {}
    copies = []
    for shot in shots:
        alike = kept.setdefault((shot.path.name, shot.time_utc, shot.lonlat, shot.path.stat().st_size), [])
        same = next((one for one in alike if filecmp.cmp(one.path, shot.path, shallow=False)), None)
        if same is None:
            alike.append(shot)
        else:
            copies.append((shot.path, f"a copy of {same.path}"))
    return [shot for alike in kept.values() for shot in alike], copies


def ingest(
    card: Path,
    plan_dir: Path,
    out_dir: Path,
    *,
    zone: str = DEFAULT_ZONE,
    near_m: float | None = None,
    speed_mps: float = 10.0,
    progress: Callable[[int, int, str], None] | None = None,
) -> Ingest:
    """Sorts a memory card into a plan's sorties, and writes what remains to be flown.

    Writes `frames/<sortie>/<original name>`, `missed.geojson`, and per sortie with gaps `<sortie>.refly` and
    `<sortie>.resume` as `.waypoints` and `.plan`.

    Args:
        card: Folder of photographs, searched downwards.
        plan_dir: The plan's folder.
        out_dir: Where to write.
        zone: Time zone of a camera clock without offset.
        near_m: How near a photograph must lie to a planned one; default half a trigger distance, at least 12 m.
        speed_mps: Of the missions written.
        progress: Called with (done, total, what).

    Raises:
        MissionsError: No photographs, or no plan.
    """
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise MissionsError(f"time zone {zone!r}: expected a name such as {DEFAULT_ZONE}") from error
    paths = _photographs(card)
    plan, frame, sorties = reread(plan_dir)
    tell = progress or (lambda done, total, what: None)
    with ThreadPoolExecutor(_READERS) as pool:  # reading a card waits for the card
        read = list(pool.map(lambda path: read_shot(path, zone), paths))
    tell(1, 3, f"{len(paths)} photographs read")
    aside = [(path, "not an image, or cut short") for path, shot in zip(paths, read, strict=True) if shot is None]
    planned = _Planned(sorties, frame)
    once, copies = _once_each([shot for shot in read if shot is not None])
    found, strange = _sort(once, planned)
    placed = {name: _copy(shots, out_dir / "frames" / name) for name, shots in sorted(found.items())}
    tell(2, 3, "sorted")
    missed, files = [], []
    for sortie in sorties:
        name = sortie.sortie.short_id
        if name in found:
            reach = near_m if near_m is not None else max(_NEAR_M, 0.5 * sortie.route.trigger_m)
            gaps = _gaps(sortie, planned.xy(found[name]), reach)
            if gaps.any():
                missed.append(_missed(sortie, gaps, frame))
                files += _write_rest(sortie, gaps, missed[-1].trailing, frame, out_dir, speed_mps)
    _write_missed(missed, plan.plan_id, out_dir)
    absent = tuple(sortie.sortie.short_id for sortie in sorties if sortie.sortie.short_id not in found)
    tell(3, 3, "done")
    return Ingest(placed, tuple(aside + copies + strange), tuple(missed), tuple(files), absent)


def _write_missed(missed: list[Missed], plan_id: str, out_dir: Path) -> None:
    features = [
        {
            "type": "Feature",
            "properties": {"sortie": f"{plan_id}/{gap.sortie}", "trailing": gap.trailing},
            "geometry": {"type": "MultiPoint", "coordinates": [[round(float(v), 8) for v in p] for p in gap.places]},
        }
        for gap in missed
    ]
    text = json.dumps({"type": "FeatureCollection", "schema_version": 1, "features": features})
    write_text_atomically(out_dir / "missed.geojson", text)
