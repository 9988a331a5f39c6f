"""A solved block without photographs: real settings and states, places and claims as a test wants them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from pyproj import Transformer

from imagery.features import Keypoints
from imagery.index import Index
from imagery.layout import Layout
from imagery.matching import PairMatch
from imagery.photo import Photo
from imagery.priors import first_state, set_up
from imagery.solve import Solution
from imagery.tracks import Ties

UTM = "EPSG:32650"
ORIGIN = (622_000.0, 3_879_000.0)
HEIGHT_M = 40.0


def photo(number: int, place: tuple[float, float] | None, height_m: float | None = HEIGHT_M) -> Photo:
    """A photograph that claims local metres `place`."""
    lon, lat = (None, None) if place is None else _lonlat(*place)
    name = f"DJI_{number:04d}.JPG"
    return Photo(
        Path(name), name, f"{number:064x}", "", 800, 600, "DJI|TEST1|", lon=lon, lat=lat, height_rel_m=height_m,
        focal_px=560.0, fix="none" if place is None else "3d",
    )  # fmt: skip


def _lonlat(x: float, y: float) -> tuple[float, float]:
    lon, lat = Transformer.from_crs(UTM, "EPSG:4326", always_xy=True).transform(ORIGIN[0] + x, ORIGIN[1] + y)
    return float(lon), float(lat)


def grid(columns: int = 4, rows: int = 3, step_m: float = 20.0) -> np.ndarray:
    """(n, 2) local metres."""
    return np.array([(x * step_m, y * step_m) for y in range(rows) for x in range(columns)], float)


def block(
    truth: np.ndarray,
    claims: np.ndarray | None = None,
    *,
    told_height_m: float | None = HEIGHT_M,
    pairs: list[tuple[int, int]] | None = None,
    unmatched: tuple[int, ...] = (),
    tie_rms_px: float | None = 0.6,
    scale: float = 1.0,
) -> tuple[Index, Solution]:
    """Frames solved at `truth` times `scale`, whose files claim `claims` (NaN: no position)."""
    claims = truth if claims is None else claims
    photos = tuple(
        photo(n, None if np.isnan(place[0]) else (float(place[0]), float(place[1])), told_height_m)
        for n, place in enumerate(claims)
    )
    points = Keypoints(np.zeros((0, 2), np.float32), np.zeros((0, 3), np.uint8), 4.0)
    index = Index(photos, (points,) * len(photos), ())
    setting = set_up(photos)
    places = truth + np.array(ORIGIN) - setting.origin[:2] if not setting.frame.is_local else truth
    height = np.full(len(truth), HEIGHT_M * scale)
    middle = places.mean(axis=0)
    state, know = first_state(
        photos, setting, Layout(middle + scale * (places - middle), height, np.zeros(len(truth)), ()), 0
    )
    ground_z = float(state.C[0, 2] - HEIGHT_M * scale)
    state = replace(state, bias=np.zeros_like(state.bias))
    none = Ties(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros(0), np.zeros((0, 3), np.uint8))
    chain = [(n, n + 1) for n in range(len(truth) - 1)] if pairs is None else pairs
    matches = tuple(PairMatch(pair, np.zeros((0, 2), np.int64), 0) for pair in chain)
    placed = tuple("gps" if n in unmatched else "matched" for n in range(len(truth)))
    return index, Solution(setting, state, know, none, none, tie_rms_px, placed, matches, ground_z)  # type: ignore[arg-type]
