"""A simulated town with truth for `benchmarks/stitch.py`: what was flown, and how far off a stitched day is."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import rasterio
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.transform import from_origin
from rasterio.vrt import WarpedVRT

from imagery.heights import read_surface
from imagery.poses import read_poses
from imagery.similarity import similarity
from simulators.exposure import read_exposures
from simulators.survey import Errors, write_patrol
from simulators.town import build_town

SEED = 22
SIZE_M = (400.0, 400.0)


def fly_town(folder: Path, errors: Errors) -> Path:
    """Two days of a town as photographs; kept where they are there already."""
    return write_patrol(folder, SEED, size_m=SIZE_M, errors=errors)


def centres(day: Path) -> tuple[np.ndarray, np.ndarray]:
    """Adjusted and true camera centres (n, 3), metres."""
    poses = read_poses(day / "poses.json")
    there = Transformer.from_crs("EPSG:4326", poses.crs, always_xy=True)
    truth = {shot.file: shot for shot in read_exposures(day / "exposures.csv")}
    own, true = [], []
    for pose in poses.frames:
        shot = truth[Path(pose.file).name]
        own.append(pose.C)
        true.append((*there.transform(shot.true_lon, shot.true_lat), shot.true_alt_amsl_m))
    return np.array(own), np.array(true)


def similarity_error_m(day: Path) -> float:
    """Horizontal RMSE of centres after a similarity fit."""
    own, true = centres(day)
    scale, turn, shift = similarity(own, true)
    off = scale * own @ turn.T + shift - true
    return float(np.sqrt((off[:, :2] ** 2).sum(axis=1).mean()))


def absolute_error_m(day: Path) -> float:
    """Horizontal RMSE of centres as they stand."""
    own, true = centres(day)
    return float(np.sqrt(((own - true)[:, :2] ** 2).sum(axis=1).mean()))


def roof_errors_m(day: Path, smallest_m2: float = 20.0) -> np.ndarray:
    """Error of each roof's height above its ground, the block first laid on the truth by its centres."""
    own, true = centres(day)
    scale, turn, shift = similarity(own, true)
    step = 0.25
    ortho = build_town(SEED, size_m=SIZE_M).day(0).render_ortho(gsd_m=step)
    rows, columns = ortho.dsm.shape
    x, y = np.meshgrid(
        ortho.transform.c + (np.arange(columns) + 0.5) * step, ortho.transform.f - (np.arange(rows) + 0.5) * step
    )
    points = np.column_stack([x.ravel(), y.ravel(), ortho.dsm.ravel()])
    ours = ((points - shift) @ turn) / scale
    height = read_surface(day / "dsm.tif").at(ours[:, 0], ours[:, 1])
    off = (height - ours[:, 2]).reshape(rows, columns)
    ground = cv2.morphologyEx(ortho.dsm, cv2.MORPH_OPEN, np.ones((181, 181), np.uint8))
    above = ortho.dsm - ground
    level = np.median(off[above < 0.3])
    count, label = cv2.connectedComponents((above > 2.5).astype(np.uint8))
    errors = []
    for number in range(1, count):
        inside = cv2.erode((label == number).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        # A roof is flat for its size; crowns of trees are not.
        if (label == number).sum() * step * step >= smallest_m2 and inside.any() and above[inside].std() < 1.2:
            errors.append(float(np.median(off[inside]) - level))
    return np.abs(np.array(errors))


def day_to_day_px(first: Path, second: Path, size_px: int = 128) -> np.ndarray:
    """Displacements (px) of the second mosaic against the first on patches of open ground, by phase correlation."""
    surface = read_surface(first / "dsm.tif")
    with rasterio.open(first / "mosaic.tif") as one, rasterio.open(second / "mosaic.tif") as two:
        gsd = one.res[0]
        west, east = max(one.bounds.left, two.bounds.left) + 20, min(one.bounds.right, two.bounds.right) - 20
        south, north = max(one.bounds.bottom, two.bounds.bottom) + 20, min(one.bounds.top, two.bounds.top) - 20
        size = (int((east - west) / gsd), int((north - south) / gsd))

        def grey(source: rasterio.io.DatasetReader) -> np.ndarray:
            place = from_origin(west, north, gsd, gsd)
            with WarpedVRT(
                source, crs=one.crs, transform=place, width=size[0], height=size[1], resampling=Resampling.bilinear
            ) as view:
                return cv2.cvtColor(view.read((1, 2, 3)).transpose(1, 2, 0), cv2.COLOR_RGB2GRAY).astype(np.float32)

        before, after = grey(one), grey(two)
    window = cv2.createHanningWindow((size_px, size_px), cv2.CV_32F)
    found = []
    for top in range(0, size[1] - size_px, 96):
        for left in range(0, size[0] - size_px, 96):
            x = west + (left + np.linspace(0, size_px, 12)) * gsd
            y = north - (top + np.linspace(0, size_px, 12)) * gsd
            if (surface.above_ground(*np.meshgrid(x, y)) > 0.5).mean() > 0.08:
                continue
            pair = [side[top : top + size_px, left : left + size_px] for side in (before, after)]
            # Light differs from day to day: only detail is compared.
            fine = [side - cv2.GaussianBlur(side, (0, 0), 6) for side in pair]
            (dx, dy), strength = cv2.phaseCorrelate(fine[0], fine[1], window)
            if strength > 0.12:
                found.append(float(np.hypot(dx, dy)))
    return np.array(found)


def gsd_of(day: Path) -> float:
    """The mosaic's pixel size."""
    return float(json.loads((day / "mosaic.json").read_text())["gsd_m"])
