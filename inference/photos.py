"""Waste in single photographs, with no mosaic: found in the picture, carried to the ground, one candidate per thing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from shapely.geometry import Point, mapping
from shapely.geometry.base import BaseGeometry

from imagery.poses import FramePose, Lens, Poses
from inference.engine import Model
from inference.errors import InferenceError
from inference.frames import Look, read_photo, visible
from inference.labels import read_code_set, waste_label
from inference.merge import touching
from inference.proposals import Proposal
from inference.request import Budget
from inference.sites import SiteFeature
from inference.sureness import Evidence, probability
from inference.waste import find_in_image

Progress = Callable[[int, int, str], None]
# Rays flatter than this (fall over length) hit the ground too far away to measure anything there.
_LEAST_FALL = 0.12
# Two photographs put one heap this far apart at most, beyond their own expected error.
_REACH_M = 1.5
# A photograph is never enlarged beyond this: a network sees nothing in invented pixels.
_MOST_SCALE = 1.5


@dataclass(frozen=True)
class Sighting:
    """One heap in one photograph."""

    pose: FramePose
    proposal: Proposal
    ground: BaseGeometry
    look: Look


def rays(lens: Lens, pose: FramePose, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Directions (n, 3) in world axes through full-scale pixels (n, 2)."""
    matrix = np.array([[lens.fx, 0, lens.cx], [0, lens.fy, lens.cy], [0, 0, 1]])
    distortion = np.array([lens.k1, lens.k2, lens.p1, lens.p2, lens.k3])
    flat = cv2.undistortPoints(pixels.reshape(-1, 1, 2).astype(np.float64), matrix, distortion).reshape(-1, 2)
    camera = np.column_stack([flat, np.ones(len(flat))])
    return np.asarray(camera @ np.asarray(pose.R, dtype=float), np.float64)


def to_ground(lens: Lens, pose: FramePose, pixels: NDArray[np.float64], ground_m: float) -> NDArray[np.float64] | None:
    """Where pixels meet level ground.

    Args:
        lens: The photograph's.
        pose: The photograph's.
        pixels: (n, 2) full scale.
        ground_m: Level of the ground in the poses' height reference.

    Returns:
        (n, 2) metres in the poses' CRS; None where a ray does not come down.
    """
    direction = rays(lens, pose, pixels)
    fall = -direction[:, 2] / np.linalg.norm(direction, axis=1)
    height = pose.C[2] - ground_m
    if height <= 0 or (fall < _LEAST_FALL).any():
        return None
    steps = height / -direction[:, 2]
    return np.asarray(np.asarray(pose.C[:2]) + direction[:, :2] * steps[:, None], np.float64)


def _gsd(lens: Lens, pose: FramePose, ground_m: float) -> float:
    """Metres a pixel at the middle of the picture."""
    middle = np.array([[lens.width_px / 2, lens.height_px / 2]])
    centre = to_ground(lens, pose, middle, ground_m)
    height = max(pose.C[2] - ground_m, 0.5)
    away = height if centre is None else float(np.hypot(height, np.hypot(*(centre[0] - np.asarray(pose.C[:2])))))
    return away / lens.fx


def _at_model_scale(path: Path, gsd_m: float, wanted_m: float) -> tuple[NDArray[np.uint8], float]:
    """The photograph at the model's spacing, and full-scale pixels per pixel of it."""
    scale = min(_MOST_SCALE, gsd_m / wanted_m)
    read = read_photo(path, int(1 / scale) if scale < 1 else 1)
    if read is None:
        raise InferenceError(f"{path} does not decode as a photograph: give a JPEG, or leave it out")
    rgb, factor = read
    ratio = scale * factor
    size = (max(16, round(rgb.shape[1] * ratio)), max(16, round(rgb.shape[0] * ratio)))
    method = cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, size, interpolation=method), np.uint8), 1.0 / scale


def _sighting(proposal: Proposal, full: float, lens: Lens, pose: FramePose, ground_m: float) -> Sighting:
    corners = shapely.get_coordinates(proposal.polygon.convex_hull) * full
    x0, y0 = corners.min(axis=0)
    x1, y1 = corners.max(axis=0)
    spot = to_ground(lens, pose, corners, ground_m)
    ground: BaseGeometry = Point(pose.C[0], pose.C[1])
    if spot is not None:
        ground = shapely.MultiPoint(spot).convex_hull
    off = float(np.hypot((x0 + x1) / 2 - lens.cx, (y0 + y1) / 2 - lens.cy) / lens.width_px)
    return Sighting(pose, proposal, ground, Look(pose, lens, (float(x0), float(y0), float(x1), float(y1)), off))


def sightings(model: Model, path: Path, lens: Lens, pose: FramePose, ground_m: float) -> list[Sighting]:
    """Looks over one photograph.

    Raises:
        InferenceError: It does not decode.
    """
    rgb, full = _at_model_scale(path, _gsd(lens, pose, ground_m), model.card.gsd_m)
    return [_sighting(p, full, lens, pose, ground_m) for p in find_in_image(model, rgb)]


def _pose_of(path: Path, poses: Poses) -> FramePose:
    for pose in poses.frames:
        if pose.file == str(path) or Path(pose.file).name == path.name:
            return pose
    raise InferenceError(f"{path.name} has no pose: expected GPS in its EXIF, or pass it with the others of its flight")


def _feature(group: Sequence[Sighting], looked: int, number: int, model: Model, to_wgs84: Transformer) -> SiteFeature:
    best = max(group, key=lambda s: (s.ground.area > 0, s.proposal.mean))
    evidence = Evidence(
        best.proposal.mean,
        best.proposal.peak,
        max(best.ground.area, 0.5),
        tuple(s.proposal.mean for s in group if s is not best),
        both=best.proposal.extra["both"],
    )
    label = waste_label(best.proposal.extra["spoil"], best.proposal.extra["litter"])
    matter = read_code_set().get(label)
    ordered = sorted(group, key=lambda s: s.look.off_centre)
    properties: dict[str, Any] = {
        "n": number,
        "family": "sanitation",
        "label": label,
        "probability": round(probability(evidence, model.card.calibration), 4),
        "area_m2": round(best.ground.area, 2) or None,
        "frames": [s.look.box() for s in ordered[:3]],
        "seen": len({s.pose.id for s in group}),
        "looked": looked,
        "network": round(best.proposal.mean, 4),
    }
    if matter is not None:
        properties |= {"matter_code": matter.code, "matter_name": matter.name}
    outline = shapely.transform(best.ground, to_wgs84.transform, interleaved=False)
    return SiteFeature.model_validate({"geometry": mapping(outline), "properties": properties})


def find_in_photos(
    model: Model,
    photos: Sequence[Path],
    poses: Poses,
    ground_m: float,
    budget: Budget,
    progress: Progress | None = None,
) -> list[SiteFeature]:
    """Waste in single photographs, fused where they overlap.

    Args:
        model: The serving waste model.
        photos: Files; each has a pose of the same file name.
        poses: Of the photographs.
        ground_m: Level of the ground in the poses' height reference.
        budget: Threshold and number.
        progress: Called by photograph.

    Raises:
        InferenceError: A photograph does not decode or has no pose.
    """
    seen: list[Sighting] = []
    views: list[tuple[FramePose, Lens]] = []
    for done, path in enumerate(photos):
        if progress:
            progress(done, len(photos), "photographs")
        pose = _pose_of(path, poses)
        lens = poses.lenses[pose.lens]
        views.append((pose, lens))
        seen += sightings(model, path, lens, pose, ground_m)
    if not seen:
        return []
    to_wgs84 = Transformer.from_crs(poses.crs, "EPSG:4326", always_xy=True)
    group = touching([s.ground for s in seen], _REACH_M)
    groups = [[s for s, g in zip(seen, group, strict=True) if g == k] for k in range(int(group.max()) + 1)]
    parts = [p for members in groups for p in _apart(members)]
    features = [
        _feature(p, max(len({s.pose.id for s in p}), _views_of(p[0], views, ground_m)), n, model, to_wgs84)
        for n, p in enumerate(parts, start=1)
    ]
    least = budget.thresholds.get("sanitation", model.card.threshold)
    kept = sorted((f for f in features if f.properties.probability >= least), key=lambda f: -f.properties.probability)
    kept = kept[: budget.max_candidates] if budget.max_candidates is not None else kept
    return [
        f.model_copy(update={"properties": f.properties.model_copy(update={"n": n})})
        for n, f in enumerate(kept, start=1)
    ]


def _apart(members: list[Sighting]) -> list[list[Sighting]]:
    """Things that have no place of their own (points at the camera) are not one thing because they share a camera."""
    placed = [s for s in members if s.ground.area > 0]
    return ([placed] if placed else []) + [[s] for s in members if s.ground.area == 0]


def _views_of(sighting: Sighting, views: Sequence[tuple[FramePose, Lens]], ground_m: float) -> int:
    centre = sighting.ground.centroid
    point = np.array([[centre.x, centre.y, ground_m]])
    return sum(bool(visible(lens, pose, point)[1][0]) for pose, lens in views)
