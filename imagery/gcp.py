"""Ground control and check points, as OpenDroneMap's `gcp_list.txt` has them: a CRS line, then x y z u v file [name].

Control pulls the block; check points never do and say what the control was worth. Without GPS, control alone tells
where on Earth the block is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from imagery.adjust import camera_rays, triangulate
from imagery.bundle import State, residuals
from imagery.control import KnownPoints
from imagery.errors import ImageryError
from imagery.index import Index
from imagery.projection import LocalFrame, utm_frame
from imagery.similarity import similarity
from imagery.solve import Solution
from imagery.tracks import Ties

Floats = NDArray[np.float64]
# A mark is clicked to about this many pixels, and surveyed (or read from a map) to this, unless residuals say more.
CLICK_SIGMA_PX = 2.0
SURVEY_SIGMA_M = 0.05
LOOSE_RAD = 0.5
# Marks whose rays miss each other by more than this are suspected to be of another image size; that size must fit
# this many times better.
SCALE_SUSPECT_PX = 15.0
SCALE_GAIN = 5.0


@dataclass(frozen=True)
class Mark:
    """A point of known place: longitude, latitude, height, and where photographs show it (file, u, v)."""

    name: str
    lon: float
    lat: float
    z_m: float
    seen: tuple[tuple[str, float, float], ...]


@dataclass(frozen=True)
class MarkError:
    """What is left at a mark: ours minus given, metres, and the same in pixels of the photographs."""

    name: str
    east_m: float
    north_m: float
    up_m: float | None
    error_px: float
    photos: int


def read_marks(path: Path) -> list[Mark]:
    """Reads `gcp_list.txt`.

    Raises:
        ImageryError: Missing, no known CRS in the first line, or a line that is not a mark, with its number.
    """
    if not path.is_file():
        raise ImageryError(f"no ground control at {path}")
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    if not lines:
        raise ImageryError(f"{path} is empty: expected a CRS line and marks")
    there = Transformer.from_crs(_crs(lines[0], path), "EPSG:4326", always_xy=True)
    rows: dict[tuple[float, float, float], list[tuple[str, float, float]]] = {}
    names: dict[tuple[float, float, float], str] = {}
    for number, line in enumerate(lines[1:], start=2):
        parts = line.split()
        if not parts or line.lstrip().startswith("#"):
            continue
        try:
            x, y, z, u, v = (float(part) for part in parts[:5])
            file = parts[5]
        except (ValueError, IndexError) as error:
            raise ImageryError(f"{path} line {number}: expected `x y z u v file [name]`, got {line!r}") from error
        rows.setdefault((x, y, z), []).append((file, u, v))
        names.setdefault((x, y, z), parts[6] if len(parts) > 6 else f"mark {len(names) + 1}")
    if not rows:
        raise ImageryError(f"{path} holds no marks: expected lines of `x y z u v file [name]`")
    marks = []
    for (x, y, z), seen in rows.items():
        lon, lat = there.transform(x, y)
        if not (np.isfinite(lon) and np.isfinite(lat) and abs(lat) <= 90.0):
            raise ImageryError(f"{path}: {x} {y} lies outside {lines[0].strip()}: are x and y swapped?")
        marks.append(Mark(names[(x, y, z)], float(lon), float(lat), z, tuple(seen)))
    return marks


def _crs(line: str, path: Path) -> CRS:
    text = line.strip()
    parts = text.upper().split()
    if (
        len(parts) == 3
        and parts[0] == "WGS84"
        and parts[1] == "UTM"
        and parts[2][-1] in "NS"
        and parts[2][:-1].isdigit()
    ):
        return CRS.from_epsg((32600 if parts[2][-1] == "N" else 32700) + int(parts[2][:-1]))
    try:
        return CRS.from_user_input(text)
    except CRSError as error:
        raise ImageryError(f"{path} line 1: expected a CRS such as EPSG:4326 or WGS84 UTM 50N, got {text!r}") from error


def known_points(
    marks: Sequence[Mark], solution: Solution, index: Index, sigma_m: float = SURVEY_SIGMA_M
) -> KnownPoints:
    """Marks, known to `sigma_m`, as known points of a block that already lies on Earth."""
    rows = sightings(marks, index)
    lonlat = [(mark.lon, mark.lat) for mark in marks]
    xy = solution.setting.frame.to_metres([p[0] for p in lonlat], [p[1] for p in lonlat])
    xyz = np.column_stack([xy, [mark.z_m for mark in marks]]) - solution.setting.origin
    sigma = np.full((len(marks), 3), sigma_m)
    frame, point, uv = rows
    return KnownPoints(xyz, sigma, frame, point, uv, np.full(len(frame), CLICK_SIGMA_PX), sure=True)


def sightings(
    marks: Sequence[Mark], index: Index, required: bool = True
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Frames, marks and pixels of all sightings whose photograph is in the block; at least one where `required`."""
    frames = {Path(photo.file).name.lower(): number for number, photo in enumerate(index.photos)}
    found = [
        (frames[Path(file).name.lower()], number, u, v)
        for number, mark in enumerate(marks)
        for file, u, v in mark.seen
        if Path(file).name.lower() in frames
    ]
    if not found and required:
        raise ImageryError("none of the ground control's photographs is in the folder: do the file names agree?")
    table = np.array(found, float).reshape(-1, 4)
    return table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2:]


def pixel_scale(marks: Sequence[Mark], solution: Solution, index: Index) -> float:
    """What the marks' pixels must be multiplied by to belong to these files: 1, unless another size fits far better.

    Lists are often clicked on resized copies. Rays of one mark from two photographs cross only at the right scale (on
    a village set a list that claimed to fit crossed to 100 px as it stood, and to 1 px at 1.92); nothing of the
    marks' coordinates is used, and the report says what was done.
    """
    frame, point, uv = sightings(marks, index)
    matched = np.array([solution.placed[int(n)] == "matched" for n in frame])
    twice = np.bincount(point[matched], minlength=len(marks)) >= 2
    use = matched & twice[point]
    if twice.sum() < 3:
        return 1.0
    order = np.argsort(point[use], kind="stable")
    frame, uv = frame[use][order], uv[use][order]
    number = np.unique(point[use][order], return_inverse=True)[1].astype(np.int64)

    def misfit(scale: float) -> float:
        ties = Ties(frame, number, uv * scale, np.ones(len(frame)), np.zeros((len(frame), 3), np.uint8))
        start = replace(solution.state, X=np.zeros((int(number[-1]) + 1, 3)))
        crossed = replace(start, X=triangulate(start, solution.know, ties, solution.ground_z, 10))
        error = np.linalg.norm(residuals(crossed, solution.know, ties), axis=1)
        # Crowding all marks into a corner makes any rays cross: errors count in parts of the pixels they came from.
        # The median mark: one wrong line in the list says nothing about its scale.
        square = np.bincount(number, error**2) / np.bincount(number)
        return float(np.sqrt(np.median(square))) / scale

    asis = misfit(1.0)
    if asis < SCALE_SUSPECT_PX:
        return 1.0
    coarse = min(np.geomspace(0.25, 4.0, 140), key=misfit)
    best = float(min(np.linspace(0.98 * coarse, 1.02 * coarse, 21), key=misfit))
    fits_files = _within(uv * best, frame, index)
    return best if fits_files and misfit(best) < asis / SCALE_GAIN else 1.0


def _within(uv: Floats, frame: NDArray[np.int64], index: Index) -> bool:
    size = np.array([(index.photos[int(n)].width_px, index.photos[int(n)].height_px) for n in frame])
    return bool(((uv >= 0) & (uv <= size)).all())


def scaled(marks: Sequence[Mark], scale: float) -> list[Mark]:
    """Marks with their pixels multiplied."""
    return [replace(mark, seen=tuple((file, u * scale, v * scale) for file, u, v in mark.seen)) for mark in marks]


def to_earth(solution: Solution, marks: Sequence[Mark], index: Index) -> Solution:
    """Moves a block without positions to where its control is, by a similarity.

    Raises:
        ImageryError: Fewer than three marks that the block sees.
    """
    local, seen = seen_places(solution, marks, index)
    if len(seen) < 3:
        raise ImageryError(
            f"{len(seen)} ground control marks are seen by photographs of the block: at least 3 are needed to place it"
        )
    frame = utm_frame([mark.lon for mark in marks], [mark.lat for mark in marks])
    xy = frame.to_metres([marks[n].lon for n in seen], [marks[n].lat for n in seen])
    target = np.column_stack([xy, [marks[n].z_m for n in seen]])
    origin = np.array([*np.round(target[:, :2].mean(axis=0)), 0.0])
    scale, turn, shift = similarity(local, target - origin)
    state = solution.state
    moved = State(
        state.R @ turn.T,
        scale * state.C @ turn.T + shift,
        state.lens,
        scale * state.X @ turn.T + shift,
        state.bias,
    )
    # What held the block in its own system no longer means anything; a breath of it keeps frames that hang on few
    # ties from floating off while the marks pull.
    level = float(np.median(moved.X[:, 2])) if len(moved.X) else float(target[:, 2].mean())
    loose = max(1.0, float(np.median(moved.C[:, 2])) - level)
    know = replace(
        solution.know,
        R=moved.R,
        R_sigma=np.full_like(solution.know.R_sigma, LOOSE_RAD),
        gps=moved.C,
        gps_sigma=np.full_like(solution.know.gps_sigma, loose),
    )
    setting = replace(solution.setting, frame=LocalFrame(frame.crs), origin=origin)
    return replace(solution, setting=setting, state=moved, know=know, ground_z=level)


def seen_places(solution: Solution, marks: Sequence[Mark], index: Index) -> tuple[Floats, list[int]]:
    """Where the block itself puts marks: by crossing rays, or on the nearest tie's level for a single sighting."""
    frame, point, uv = sightings(marks, index)
    good = np.array([solution.placed[int(n)] == "matched" for n in frame])
    frame, point, uv = frame[good], point[good], uv[good]
    order = np.argsort(point, kind="stable")
    frame, point, uv = frame[order], point[order], uv[order]
    seen, number = np.unique(point, return_inverse=True)
    if not len(seen):
        return np.zeros((0, 3)), []
    rgb = np.zeros((len(frame), 3), np.uint8)
    ties = Ties(frame, number.astype(np.int64), uv, np.full(len(frame), CLICK_SIGMA_PX), rgb)
    know, state = solution.know, solution.state
    places = triangulate(replace(state, X=np.zeros((len(seen), 3))), know, ties, solution.ground_z, 12)
    count = np.bincount(number)
    for alone in np.flatnonzero(count == 1):
        own = int(np.flatnonzero(number == alone)[0])
        places[alone] = _on_ties(solution, int(frame[own]), uv[own])
    return places, [int(n) for n in seen]


def _on_ties(solution: Solution, frame: int, uv: Floats) -> Floats:
    """Where one ray meets the level of the ties around it."""
    state = solution.state
    lens = state.lens[solution.know.lens_of[frame]][None]
    ray = camera_rays(lens, uv[None])[0] @ state.R[frame]
    centre, level = state.C[frame], solution.ground_z
    for _ in range(4):
        place = centre + ray * ((level - centre[2]) / min(ray[2], -0.05))
        if len(state.X):
            near = np.argsort(((state.X[:, :2] - place[:2]) ** 2).sum(axis=1))[:12]
            level = float(np.median(state.X[near, 2]))
    return np.asarray(centre + ray * ((level - centre[2]) / min(ray[2], -0.05)))


def errors_at(solution: Solution, marks: Sequence[Mark], index: Index) -> list[MarkError]:
    """Errors at marks, from the photographs alone (the marks' own coordinates take no part in their place)."""
    places, seen = seen_places(solution, marks, index)
    frame, point, uv = sightings(marks, index)
    xy = solution.setting.frame.to_metres([mark.lon for mark in marks], [mark.lat for mark in marks])
    given = np.column_stack([xy, [mark.z_m for mark in marks]]) - solution.setting.origin
    result = []
    for place, number in zip(places, seen, strict=True):
        own = point == number
        off = place - given[number]
        count = int(own.sum())
        rgb = np.zeros((count, 3), np.uint8)
        ties = Ties(frame[own], np.zeros(count, np.int64), uv[own], np.ones(count), rgb)
        at_given = replace(solution.state, X=given[number][None])
        pixels = np.linalg.norm(residuals(at_given, solution.know, ties), axis=1)
        up = round(float(off[2]), 4) if count > 1 else None
        error_px = round(float(np.sqrt(np.mean(pixels**2))), 2)
        result.append(
            MarkError(marks[number].name, round(float(off[0]), 4), round(float(off[1]), 4), up, error_px, count)
        )
    return result


def rms_m(errors: Sequence[MarkError]) -> float | None:
    """Horizontal RMS of mark errors, metres."""
    if not errors:
        return None
    return float(np.sqrt(np.mean([error.east_m**2 + error.north_m**2 for error in errors])))
