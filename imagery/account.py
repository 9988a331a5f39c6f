"""The account of a run: what each stage cost, and what `mosaic.json` says of the result."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from imagery.doubts import Marks, doubts
from imagery.gcp import Mark, errors_at, rms_m
from imagery.index import Index
from imagery.report import CameraPlace, MosaicReport
from imagery.scene import View, ground_points
from imagery.seams import Labels
from imagery.shutter import shutter_trace
from imagery.solve import Solution
from imagery.surface import HeightGrid


class Clock:
    """Time and memory by stage; a stage lasts until the next begins."""

    def __init__(self) -> None:
        self._start = self._last = (time.monotonic(), _cpu_s())
        self.stages: dict[str, dict[str, float]] = {}

    def done(self, stage: str) -> None:
        """Books what was spent since the last stage ended."""
        now = (time.monotonic(), _cpu_s())
        wall_s, cpu_s = (round(b - a, 2) for a, b in zip(self._last, now, strict=True))
        self.stages[stage] = {"cpu_s": cpu_s, "wall_s": wall_s, "peak_mb": peak_mb()}
        self._last = now

    @property
    def wall_s(self) -> float:
        """Since the beginning."""
        return round(time.monotonic() - self._start[0], 2)

    @property
    def cpu_s(self) -> float:
        """Since the beginning, all threads."""
        return round(_cpu_s() - self._start[1], 2)


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def peak_mb() -> float:
    """The process's peak resident memory so far."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0, 1)


def account(
    index: Index,
    solution: Solution,
    scene: Sequence[View],
    ground: HeightGrid,
    gsd_m: float,
    labels: Labels,
    control: Sequence[Mark],
    checks: Sequence[Mark],
    marks: Marks,
    **more: object,
) -> MosaicReport:
    """The report of a finished mosaic; `more` are further fields."""
    matched = np.array([how == "matched" for how in solution.placed])
    residual = _gps_residual(solution)
    known = matched & np.isfinite(residual[:, 0])
    used = errors_at(solution, control, index) if control else []
    compared = errors_at(solution, checks, index) if checks else []
    shutter = shutter_trace(solution.state, solution.know, solution.ties)
    told = doubts(index, solution, marks, shutter, gsd_m)
    slant = labels.slant[labels.view >= 0]
    extra: dict[str, object] = {
        "gcp": [asdict(error) for error in used],
        "check": [asdict(error) for error in compared],
        "flights": _flights(index, solution, residual),
        "lenses": {key: solution.state.lens[n].round(6).tolist() for n, key in enumerate(solution.setting.lens_keys)},
        "lean_p95": round(float(np.percentile(slant, 95)), 3) if slant.size else None,
        "seen_twice": round(float((labels.seen > 1).sum() / max(1, int((labels.seen > 0).sum()))), 4),
        "height_reference": solution.setting.height_reference,
        "rolling_shutter": None if shutter is None else asdict(shutter),
        "mark_pixel_scale": round(marks.pixel_scale, 4),
        "mark_precision_m": None if marks.precision_m is None else round(marks.precision_m, 3),
        "marks_left_out": marks.left_out,
        "warnings": [doubt.english for doubt in told],
        "warnings_zh": [doubt.chinese for doubt in told],
        **more,
    }
    return MosaicReport.model_validate(
        {
            "frames_total": len(index.photos) + len(index.set_aside),
            "frames_matched": int(matched.sum()),
            "frames_placed": len(index.photos),
            "frames_set_aside": index.set_aside,
            "gsd_m": gsd_m,
            "tie_rms_px": solution.tie_rms_px,
            "gps_rms_m": float(np.sqrt(np.mean(residual[known, :2] ** 2) * 2)) if known.any() else None,
            "gcp_rms_m": rms_m(used),
            "check_rms_m": rms_m(compared),
            "cpu_s": 0.0,
            "wall_s": 0.0,
            "peak_mb": peak_mb(),
            "cameras": _cameras(solution, scene, ground),
            **extra,
        }
    )


def _gps_residual(solution: Solution) -> NDArray[np.float64]:
    setting, state = solution.setting, solution.state
    return np.asarray(state.C + state.bias[setting.flight_of] - setting.gps)


def _cameras(solution: Solution, scene: Sequence[View], ground: HeightGrid) -> tuple[CameraPlace, ...]:
    """Ground points at image centres; none where nobody knows where on Earth they are."""
    if solution.setting.frame.is_local:
        return ()
    places = []
    for view in scene:
        middle = np.array([[(view.lens.width_px - 1) / 2, (view.lens.height_px - 1) / 2]])
        point = ground_points(view.lens, view.pose, ground, middle)
        lon, lat = solution.setting.frame.to_lonlat(point[:, :2])[0]
        places.append(CameraPlace(file=view.pose.file, lon=float(lon), lat=float(lat), placed=view.pose.placed))
    return tuple(places)


def _flights(index: Index, solution: Solution, residual: NDArray[np.float64]) -> list[dict[str, object]]:
    """Every flight's GPS bias and scatter; nothing without GPS."""
    if solution.setting.frame.is_local:
        return []
    result: list[dict[str, object]] = []
    for flight in range(solution.setting.flights):
        own = np.flatnonzero(solution.setting.flight_of == flight)
        if not len(own):
            continue
        first = index.photos[int(own[0])]
        spread = residual[own][np.isfinite(residual[own]).all(axis=1), :2]
        result.append(
            {
                "name": first.sortie_id or first.camera.replace("|", " ").strip() or f"{flight + 1}",
                "frames": len(own),
                "bias_m": solution.state.bias[flight].round(3).tolist(),
                "gps_rms_m": round(float(np.sqrt(np.mean(spread**2) * 2)), 3) if len(spread) else 0.0,
            }
        )
    return result
