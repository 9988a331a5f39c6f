"""What files claim of place and height, held against what the photographs show of each other.

A receiver that froze, a clock that was off by an hour and a list sorted by the wrong column all give positions that
look like positions. Photographs know their own shape; claims that contradict it as a whole are not averaged in.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from imagery.errors import ImageryError
from imagery.index import Index
from imagery.photo import Photo
from imagery.solve import Solution

Floats = NDArray[np.float64]
# A height above take-off tells the height above ground to so much (relative): roofs, slopes.
TOLD_HEIGHT_SIGMA = 0.15
# A correction of the scale below this is not worth another look.
LEAST_CORRECTION = 0.01
# Positions that miss the photographs' own shape by this share of their spread, and this many metres, are not theirs.
CONTRADICTS_SHARE, CONTRADICTS_M = 0.35, 10.0
# A receiver that lags misses by as much (14 m over 41 m on half of one card), and yet draws the flight: positions that
# tell this share of the photographs' own shape (there 0.86) are poor, not others', up to half their spread.
TELLS_SHAPE, LAGS_SHARE = 0.6, 0.5
# Fewer matches than this share beside each other: it is worth a look whether they match elsewhere.
FEW_BESIDE = 0.5
# A frame that matches nothing and lies further than this from all that match is a wrong position or another place.
STRAY_M, STRAY_EXTENTS = 1000.0, 3.0


def scaled_by_height(index: Index, solution: Solution) -> Solution:
    """The block at the scale that told heights and GPS agree on, each as far as it knows.

    Over a wide block GPS knows the scale to a part in a thousand and nothing changes. Frames from one spot, or
    positions that contradict each other, know less of it than the barometer does.
    """
    matched = _matched(solution)
    told = np.array([_told_m(photo) for photo in index.photos])
    known = matched & np.isfinite(told)
    if solution.setting.frame.is_local or known.sum() < max(2, 0.5 * matched.sum()):
        return solution
    height = solution.state.C[known, 2] - solution.ground_z
    if not (height > 0).all():
        return solution
    wanted = float(np.median(np.log(told[known] / height)))
    # Positions of other photographs pull the block wide: how wide it is, the lesser of the two scales says.
    sigma = _scale_sigma(solution, matched) / min(1.0, float(np.exp(wanted)))
    by_gps, by_height = 1.0 / sigma**2, 1.0 / TOLD_HEIGHT_SIGMA**2
    factor = float(np.exp(wanted * by_height / (by_height + by_gps)))
    return solution if abs(factor - 1.0) < LEAST_CORRECTION else _scaled(solution, factor, matched)


def _told_m(photo: Photo) -> float:
    told = photo.height_by_laser_m or photo.height_rel_m
    return float(told) if told and told > 3.0 else float("nan")


def _scale_sigma(solution: Solution, matched: NDArray[np.bool_]) -> float:
    """How well GPS knows the scale: its misfit over the spread of the frames, the more the better."""
    off = misfit_m(solution)[matched]
    off = off[np.isfinite(off)]
    spread = float(np.linalg.norm(np.std(solution.state.C[matched, :2], axis=0)))
    if len(off) < 2:
        return float("inf")
    claimed = float(np.nanmedian(solution.setting.gps_sigma[matched, 0]))
    return max(float(np.median(off)), claimed) / (np.sqrt(len(off)) * max(spread, 1e-6))


def _scaled(solution: Solution, factor: float, matched: NDArray[np.bool_]) -> Solution:
    """All places scaled about the middle of the cameras, whose height is kept; rays and residuals stay as they are."""
    middle = solution.state.C[matched].mean(axis=0)
    centre, points = (middle + factor * (places - middle) for places in (solution.state.C, solution.state.X))
    ground_z = float(middle[2] + factor * (solution.ground_z - middle[2]))
    return replace(solution, state=replace(solution.state, C=centre, X=points), ground_z=ground_z)


def misfit_m(solution: Solution) -> Floats:
    """(n,) horizontal metres between where files and photographs put each frame; NaN without a claim."""
    off = solution.state.C + solution.state.bias[solution.setting.flight_of] - solution.setting.gps
    return np.asarray(np.hypot(off[:, 0], off[:, 1]))


def _likeness(claimed: Floats, found: Floats) -> float:
    """Share of the variance of one set of places (n, 2) that the other tells by the best turn and scale, 0..1."""
    a, b = ((places - places.mean(axis=0)) @ np.array([1.0, 1.0j]) for places in (claimed, found))
    both = float(np.vdot(a, a).real * np.vdot(b, b).real)
    return float(abs(np.vdot(a, b)) ** 2 / both) if both > 0 else 0.0


def refuse_contradiction(solution: Solution) -> None:
    """Refuses positions that are not these photographs'.

    Raises:
        ImageryError: The photographs fit each other, and their positions have next to nothing to do with it.
    """
    matched = _matched(solution)
    off = misfit_m(solution)
    known = matched & np.isfinite(off)
    if solution.setting.frame.is_local or known.sum() < 3:
        return
    gps = solution.setting.gps[known, :2]
    spread = float(np.median(np.hypot(*(gps - np.median(gps, axis=0)).T)))
    typical = float(np.median(off[known]))
    lags = typical < LAGS_SHARE * spread and _likeness(gps, solution.state.C[known, :2]) >= TELLS_SHAPE
    if typical > max(CONTRADICTS_M, CONTRADICTS_SHARE * spread) and not lags:
        raise ImageryError(
            f"the positions contradict the photographs: they miss by {typical:.0f} m where they spread over "
            f"{spread:.0f} m; check that the log belongs to these photographs (order, clock, columns), or remove the "
            "positions to get a mosaic without a place"
        )


def leads_nowhere(solution: Solution) -> bool:
    """Whether photographs have positions, and most match none of those that should be beside them."""
    matched = _matched(solution)
    return not solution.setting.frame.is_local and len(matched) >= 3 and bool(matched.mean() < FEW_BESIDE)


def refuse_misplaced(solution: Solution, blind: Solution | None) -> None:
    """Refuses positions that keep apart what belongs together.

    Args:
        solution: The block by its positions.
        blind: The same photographs, tried in the order of taking and by likeness; None where that found nothing.

    Raises:
        ImageryError: They match each other well, but not where their positions put them.
    """
    if blind is None:
        return
    beside, anyhow = int(_matched(solution).sum()), int(_matched(blind).sum())
    if anyhow > len(solution.placed) / 2 and anyhow >= 2 * beside:
        raise ImageryError(
            f"the positions contradict the photographs: {anyhow} of {len(solution.placed)} match each other, but only "
            f"{beside} where their positions put them; check that the log belongs to these photographs (order, clock, "
            "columns), or remove the positions to get a mosaic without a place"
        )


def strays(index: Index, solution: Solution) -> dict[int, str]:
    """Frames that match nothing and claim to be far from all that do, with why they are set aside."""
    matched = _matched(solution)
    if solution.setting.frame.is_local or matched.sum() < 2 or matched.all():
        return {}
    gps = solution.setting.gps[:, :2]
    block = solution.state.C[matched, :2]
    reach = max(STRAY_M, STRAY_EXTENTS * float(np.linalg.norm(np.ptp(block, axis=0))))
    found = {}
    for number in np.flatnonzero(~matched & np.isfinite(gps[:, 0])):
        far = float(np.hypot(*(block - gps[number]).T).min())
        if far > reach:
            found[int(number)] = (
                f"{far / 1000:.1f} km from every photograph that matches another: a wrong position, or another place"
            )
    return found


def _matched(solution: Solution) -> NDArray[np.bool_]:
    return np.array([how == "matched" for how in solution.placed], bool)
