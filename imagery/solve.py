"""From an index to poses: pairs, matches, layout, ties, adjustment; frames that stay alone are placed and named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imagery.adjust import AGAIN, Adjusted, adjust, adjust_soberly, judge
from imagery.bundle import Knowledge, State
from imagery.checkpoint import Rounds, key_of, load_adjusted, save_adjusted
from imagery.control import KnownPoints, join
from imagery.errors import ImageryError
from imagery.files import Progress, quiet
from imagery.index import Index
from imagery.layout import lay_out
from imagery.matching import PairMatch, match_pairs
from imagery.neighbours import Pair, pairs_by_position, pairs_without_position
from imagery.poses import FramePose, Lens, Placed, Poses
from imagery.priors import Setting, first_state, layout_priors, remember_lenses, set_up
from imagery.tracks import Ties, build_ties, thin, withhold
from imagery.upright import turned_upright
from imagery.work import DescriptorStore, PairStore

Floats = NDArray[np.float64]
# A frame with fewer surviving ties than this is not called matched.
MATCHED_TIES = 10
# Observations a frame that enter the adjustment; more cost time and change poses by less than their error.
TIES_PER_FRAME = 360
# Above this many frames an adjustment takes long enough for its rounds to be kept one by one.
KEEP_ROUNDS_FRAMES = 1000
# Most observations in all: a block of ten thousand frames gets on with fewer of each.
MOST_TIES = 1_200_000
FEWEST_TIES_PER_FRAME = 100
# A block that was turned upright may fit its ties this much worse for it.
NO_WORSE = 1.1
# What a flight's GPS may be off as a whole once control or a baseline tells better.
FREE_BIAS_M = 30.0


@dataclass(frozen=True)
class Solution:
    """Adjusted poses with what is needed to go on.

    Attributes:
        setting: Coordinate system, flights, lenses.
        state: Poses, lenses, points, biases (metres from `setting.origin`).
        know: Priors that were used.
        ties: Surviving ties of `state.X`.
        held: Withheld ties.
        tie_rms_px: Of the withheld ties, or None.
        placed: How each frame was placed.
        matches: Verified pairs.
        ground_z: Level of the ground, metres.
        lens_held: Whether the lens ran away and was held.
    """

    setting: Setting
    state: State
    know: Knowledge
    ties: Ties
    held: Ties
    tie_rms_px: float | None
    placed: tuple[Placed, ...]
    matches: tuple[PairMatch, ...]
    ground_z: float
    lens_held: bool = False


def solve(
    index: Index,
    store: DescriptorStore,
    workers: int = 2,
    progress: Progress = quiet,
    crs: str | None = None,
    kept: PairStore | None = None,
    work: Path | None = None,
) -> Solution:
    """Finds all poses.

    Args:
        index: Frames and their keypoints.
        store: Their descriptors.
        workers: Threads.
        progress: Called as the work goes on.
        crs: Metric system to work in; the local UTM zone by default.
        kept: Matches of an earlier run that was cut short.
        work: Where the adjustment is kept for a later run.
    """
    photos, keypoints = index.photos, index.keypoints
    setting = set_up(photos, crs)
    pairs = candidate_pairs(index, store, setting)
    matches = match_pairs(pairs, keypoints, store, workers, progress, kept)
    priors = layout_priors(photos, setting)
    lens = setting.lens[setting.lens_of]
    rays = [
        np.column_stack([(points.xy - lens[n, 1:3]) / lens[n, 0], np.ones(len(points.xy))])
        for n, points in enumerate(keypoints)
    ]
    layout = lay_out(priors, rays, keypoints, matches)
    wrong = set(layout.disagrees)
    matches = [match for match in matches if match.pair not in wrong]
    state, know = first_state(photos, setting, layout, 0)
    ground_z = float(np.median(state.C[:, 2] - layout.height_m))
    progress(0, 1, "adjustment")
    if setting.frame.is_local and not matches:
        raise ImageryError(
            f"none of {len(photos)} photographs has a position (EXIF, XMP or capture log) and no two of them match: "
            "nothing says where anything is; give a capture log, or photographs that overlap"
        )
    solution = _fitted(index, setting, state, know, matches, ground_z, work)
    if not setting.frame.is_local:
        solution = _upright(solution, index, work)
    progress(1, 1, "adjustment")
    return solution


def _fitted(
    index: Index,
    setting: Setting,
    state: State,
    know: Knowledge,
    matches: Sequence[PairMatch],
    ground_z: float,
    work: Path | None,
) -> Solution:
    """The block adjusted from first poses and all verified pairs; frames without ties placed."""
    count = len(index.photos)
    fit, held = withhold(build_ties(matches, index.keypoints))
    fit = thin(fit, max(FEWEST_TIES_PER_FRAME, min(TIES_PER_FRAME, MOST_TIES // count)))
    nowhere, free = np.zeros((fit.points, 3)), np.full((fit.points, 3), np.inf)
    state = replace(state, X=nowhere)
    know = replace(know, X=nowhere, X_sigma=free, sure=np.zeros(fit.points, bool))
    adjusted = _adjusted(index, state, know, fit, ground_z, work)
    level = float(np.median(adjusted.state.X[:, 2])) if len(adjusted.state.X) else ground_z
    rms, _ = judge(adjusted.state, know, held, level)
    placed = _placed(count, adjusted.ties, matches)
    state = _stand_alone(adjusted.state, placed, setting, level)
    return Solution(
        setting, state, adjusted.know, adjusted.ties, held, rms, placed, tuple(matches), level, adjusted.lens_held
    )


def _upright(solution: Solution, index: Index, work: Path | None) -> Solution:
    """Once more, turned to where the cameras are told to be, where files tell no angles and the block leans."""
    if np.mean([photo.pitch_deg is not None for photo in index.photos]) >= 0.5:
        return solution
    matched = np.array([how == "matched" for how in solution.placed])
    turned = turned_upright(solution.state, solution.know, solution.setting, matched)
    if turned is None:
        return solution
    level = float(np.median(turned[0].X[:, 2]))
    again = _fitted(index, solution.setting, *turned, solution.matches, level, work)
    fits = again.tie_rms_px is not None and again.tie_rms_px <= NO_WORSE * (solution.tie_rms_px or np.inf)
    return again if fits and again.placed.count("matched") >= solution.placed.count("matched") else solution


def candidate_pairs(index: Index, store: DescriptorStore, setting: Setting) -> list[Pair]:
    """Pairs of frames that may see the same ground."""
    if setting.frame.is_local:
        return pairs_without_position(store, len(index.photos))
    return pairs_by_position(setting.gps[:, :2], _diagonals(index))


def _adjusted(index: Index, state: State, know: Knowledge, fit: Ties, ground_z: float, work: Path | None) -> Adjusted:
    """The adjustment, or what an earlier run over the same numbers found."""
    if not fit.points:
        return Adjusted(state, fit, know, 0)
    if work is None:
        return adjust_soberly(state, know, fit, ground_z)
    numbers = [state.R, state.C, state.lens, know.gps, know.gps_sigma, know.lens_sigma, know.bias_sigma]
    name = key_of(*(photo.id for photo in index.photos), *numbers, fit.frame, fit.point, fit.uv)
    path = work / f"adjusted-{name}.npz"
    earlier = load_adjusted(path, know)
    if earlier is not None:
        return earlier
    rounds = Rounds(path, know) if len(state.C) > KEEP_ROUNDS_FRAMES else None
    adjusted = adjust_soberly(state, know, fit, ground_z, rounds)
    save_adjusted(path, adjusted)
    if rounds:
        rounds.forget()
    return adjusted


def solve_again(
    solution: Solution, index: Index, known: Sequence[KnownPoints], lenses: Mapping[str, Lens] | None = None
) -> Solution:
    """Adjusts once more with known points; GPS may then be off by what it likes, as a whole flight.

    Args:
        solution: The block as it stands.
        index: Its frames.
        known: Ground control, a baseline's features.
        lenses: Lenses as an earlier day found them, by key.
    """
    state, know, ties = solution.state, solution.know, solution.ties
    if lenses:
        know = remember_lenses(solution.setting, know, lenses)
    for points in known:
        state, know, ties = join(state, know, ties, points)
    loose = np.maximum(know.bias_sigma, FREE_BIAS_M)
    adjusted = adjust(state, replace(know, bias_sigma=loose), ties, solution.ground_z, AGAIN)
    own = ~np.isfinite(adjusted.know.X_sigma[:, 0])
    level = float(np.median(adjusted.state.X[own, 2])) if own.any() else solution.ground_z
    rms, _ = judge(adjusted.state, adjusted.know, solution.held, level)
    placed = _placed(len(index.photos), adjusted.ties, solution.matches)
    state = _stand_alone(adjusted.state, placed, solution.setting, level)
    return replace(
        solution,
        state=state,
        know=adjusted.know,
        ties=adjusted.ties,
        tie_rms_px=rms,
        placed=placed,
        ground_z=level,
    )


def shifted(solution: Solution, by: Floats) -> Solution:
    """The block moved as it is by (3,) metres; its GPS is then off by as much more.

    A bias of metres is tens of pixels at a mark: left to the adjustment, marks pulled at the lens and at heights
    (a focal length of 557 px became 830, the block rose by 37 m) before they pulled the block.
    """
    state = solution.state
    moved = replace(state, C=state.C + by, X=state.X + by, bias=state.bias - by)
    return replace(solution, state=moved, ground_z=solution.ground_z + float(by[2]))


def _diagonals(index: Index) -> Floats | None:
    """Expected footprint diagonals where every file tells its height above take-off; terrain may double them."""
    sizes = []
    for photo in index.photos:
        if photo.height_rel_m is None or photo.height_rel_m < 5.0 or (photo.pitch_deg or -90.0) > -60.0:
            return None
        sizes.append(1.6 * photo.height_rel_m * np.hypot(photo.width_px, photo.height_px) / photo.focal_px)
    return np.array(sizes)


def _placed(frames: int, ties: Ties, matches: Sequence[PairMatch]) -> tuple[Placed, ...]:
    count = np.bincount(ties.frame, minlength=frames)
    paired = {n for match in matches for n in match.pair}
    result: list[Placed] = []
    for number in range(frames):
        result.append("matched" if count[number] >= MATCHED_TIES else "neighbour" if number in paired else "gps")
    return tuple(result)


def _stand_alone(state: State, placed: tuple[Placed, ...], setting: Setting, ground_z: float) -> State:
    """Frames without ties hang at their GPS place less the flight's bias, looking down like the nearest in time."""
    alone = np.array([how != "matched" for how in placed])
    if not alone.any() or alone.all():
        return state
    centre, rotation = state.C.copy(), state.R.copy()
    height = float(np.median(state.C[~alone, 2] - ground_z))
    for number in np.flatnonzero(alone):
        place = setting.gps[number] - state.bias[setting.flight_of[number]]
        mates = np.flatnonzero(~alone & (setting.flight_of == setting.flight_of[number]))
        mates = mates if len(mates) else np.flatnonzero(~alone)
        near = mates[np.argmin(np.abs(mates - number))]
        if np.isfinite(place[:2]).all():
            centre[number, :2] = place[:2]
        centre[number, 2] = state.C[near, 2] if len(mates) else ground_z + height
        if not np.isfinite(setting.gps[number, 2]):
            rotation[number] = state.R[near]
    return replace(state, C=centre, R=rotation)


def to_poses(solution: Solution, index: Index) -> Poses:
    """The contract's form."""
    setting, state = solution.setting, solution.state
    lenses = {}
    for number, key in enumerate(setting.lens_keys):
        f, cx, cy, k1, k2, p1, p2 = (float(value) for value in state.lens[number])
        photo = index.photos[int(np.flatnonzero(setting.lens_of == number)[0])]
        lenses[key] = Lens(
            fx=f, fy=f, cx=cx, cy=cy, k1=k1, k2=k2, p1=p1, p2=p2, width_px=photo.width_px, height_px=photo.height_px
        )
    frames = []
    for number, photo in enumerate(index.photos):
        centre = state.C[number] + setting.origin
        r = state.R[number]
        frames.append(
            FramePose(
                id=photo.id,
                file=photo.file,
                sortie_id=photo.sortie_id,
                time_utc=photo.time_utc,
                lens=setting.lens_keys[int(setting.lens_of[number])],
                R=tuple(tuple(float(value) for value in row) for row in r),
                C=(float(centre[0]), float(centre[1]), float(centre[2])),
                sigma_m=_sigma_m(solution, number),
                placed=solution.placed[number],
            )
        )
    return Poses(crs=setting.frame.crs, height_reference=setting.height_reference, lenses=lenses, frames=tuple(frames))


def _sigma_m(solution: Solution, number: int) -> float:
    """Expected horizontal error: the flight's GPS averaged over its frames for matched ones, its own plus tilt else."""
    setting = solution.setting
    flight = setting.flight_of[number]
    own = (setting.flight_of == flight) & np.isfinite(setting.gps[:, 0])
    if not own.any():
        return 1e3
    residual = (solution.state.C + solution.state.bias[setting.flight_of] - setting.gps)[own, :2]
    scatter = max(float(np.sqrt(np.mean(residual**2))), float(setting.gps_sigma[own, 0].min()))
    if solution.placed[number] == "matched":
        return float(np.hypot(scatter / np.sqrt(own.sum()), setting.bias_sigma[flight, 0] / 2.0))
    height = float(solution.state.C[number, 2] - solution.ground_z)
    return float(np.hypot(scatter, np.hypot(setting.bias_sigma[flight, 0] / 2.0, 0.05 * height)))
