"""Blocks made for `benchmarks/stitch.py`: thousands of frames as numbers alone, or as cheap photographs."""

from __future__ import annotations

import functools
import math
from datetime import timedelta
from pathlib import Path

import cv2
import numpy as np
import rasterio

from simulators.exif import with_metadata
from simulators.exposure import Exposure
from simulators.survey import CAMERA_2MP, START


def synthetic_block(side: int, ties_a_frame: int = 64, seed: int = 0):
    """Side x side nadir frames at 75/65 overlap with noise in everything: what the adjustment alone costs."""
    from scipy.spatial import cKDTree

    from imagery.bundle import Knowledge, State, project_points, rotation
    from imagery.layout import look
    from imagery.tracks import Ties

    rng = np.random.default_rng(seed)
    count, height = side * side, 90.0
    gx, gy = np.meshgrid(np.arange(side) * 47.0, np.arange(side) * 25.0)
    centre = np.column_stack([gx.ravel(), gy.ravel(), np.full(count, height)]) + rng.normal(0, 1, (count, 3))
    heading = np.where(np.arange(count) % side % 2 == 0, 0.0, np.pi) + rng.normal(0, 0.03, count)
    turn = rotation(rng.normal(0, 0.02, (count, 3))) @ np.array([look(h) for h in heading])
    lens = np.array([[1088.0, 815.0, 612.0, -0.01, 0.01, 0.0, 0.0]])
    many = int(count * ties_a_frame / 6.2)
    points = np.column_stack(
        [rng.uniform(-40, side * 47 + 40, many), rng.uniform(-40, side * 25 + 40, many), rng.normal(0, 1.5, many)]
    )
    tree = cKDTree(centre[:, :2])
    seen: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    # In runs: what is measured afterwards is the adjustment's memory, not this.
    for first in range(0, many, 10_000):
        some = points[first : first + 10_000]
        near = tree.query_ball_point(some[:, :2], 75)
        frame = np.concatenate([np.array(found, np.int64) for found in near])
        point = np.repeat(np.arange(len(some)), [len(found) for found in near])
        camera = np.einsum("mij,mj->mi", turn[frame], some[point] - centre[frame])
        uv = project_points(camera, np.repeat(lens, len(frame), 0))[0]
        keep = (uv > 0).all(axis=1) & (uv[:, 0] < 1632) & (uv[:, 1] < 1224) & (rng.random(len(frame)) < 0.75)
        seen.append((frame[keep], first + point[keep], uv[keep] + rng.normal(0, 0.5, (int(keep.sum()), 2))))
    frame, point, uv = (np.concatenate([part[k] for part in seen]) for k in range(3))
    ties = Ties(frame, point, uv, np.ones(len(frame)), np.zeros((len(frame), 3), np.uint8)).where(
        np.ones(len(frame), bool)
    )
    gps = centre + rng.normal(0, 2.0, centre.shape) + (1.0, -2.0, 30.0)
    attitude = rotation(rng.normal(0, 0.03, (count, 3))) @ turn
    know = Knowledge(
        lens_of=np.zeros(count, np.int64),
        flight_of=np.zeros(count, np.int64),
        gps=gps,
        gps_sigma=np.full((count, 3), 2.0),
        R=attitude,
        R_sigma=np.full((count, 3), 0.05),
        lens=np.array([[1100.0, 815.5, 611.5, 0, 0, 0, 0]]),
        lens_sigma=np.array([[50.0, 16, 16, 0.15, 0.15, 0.003, 0.003]]),
        bias_sigma=np.array([[4.0, 4.0, 100.0]]),
        X=np.zeros((ties.points, 3)),
        X_sigma=np.full((ties.points, 3), np.inf),
        sure=np.zeros(ties.points, bool),
    )
    start = np.column_stack([gps[:, :2], np.full(count, height) + rng.normal(0, 2, count)])
    return (
        State(attitude.copy(), start, know.lens.copy(), know.X.copy(), np.array([[0.0, 0.0, 30.0]])),
        know,
        ties,
        centre,
    )


class PatchedGround:
    """Endless ground of a hundred thousand pieces of a real orthophoto, each cut anywhere and turned at random.

    A mirrored orthophoto (the release before) has a point symmetry at every corner and comes again every 400 m: frames
    of opposite lanes then match where they must not, and 125 m off was a perfect fit.
    """

    def __init__(self, ortho: Path, piece_px: int = 256) -> None:
        with rasterio.open(ortho) as source:
            picture = source.read((1, 2, 3)).transpose(1, 2, 0)[:, :, ::-1]
            valid = source.read_masks(1) > 0
        valid &= picture.any(axis=2)
        self._picture, self._size = np.ascontiguousarray(picture), piece_px
        # Corners from which a whole piece shows something, and not water alone.
        whole = cv2.boxFilter(valid.astype(np.float32), -1, (piece_px, piece_px), anchor=(0, 0))
        grey = cv2.cvtColor(self._picture, cv2.COLOR_BGR2GRAY).astype(np.float32)
        mean, square = (cv2.boxFilter(side, -1, (piece_px, piece_px), anchor=(0, 0)) for side in (grey, grey * grey))
        good = (whole > 0.999) & (square - mean * mean > 20.0**2)
        good[-piece_px:], good[:, -piece_px:] = False, False
        self._corners = np.argwhere(good)
        self._piece = functools.lru_cache(maxsize=400)(self._cut)

    def _cut(self, row: int, column: int) -> np.ndarray:
        rng = np.random.default_rng((row + 100_000, column + 100_000))
        top, left = self._corners[rng.integers(len(self._corners))]
        piece = np.rot90(self._picture[top : top + self._size, left : left + self._size], int(rng.integers(4)))
        return np.ascontiguousarray(piece[:, ::-1] if rng.integers(2) else piece)

    def window(self, top: int, left: int, bottom: int, right: int) -> np.ndarray:
        """(h, w, 3) of the ground's pixels from top, left to bottom, right."""
        size = self._size
        rows, columns = range(top // size, -(-bottom // size)), range(left // size, -(-right // size))
        whole = np.vstack([np.hstack([self._piece(r, c) for c in columns]) for r in rows])
        return whole[top - rows.start * size : bottom - rows.start * size,
                     left - columns.start * size : right - columns.start * size]  # fmt: skip


def fly_over_orthophoto(folder: Path, ortho: Path, frames: int, seed: int = 0) -> Path:
    """A connected block of 2 MP photographs of endless ground cut from a real orthophoto, 75/65, GPS noise 2 m.

    Cheap on purpose (0.08 CPU-s a frame): the ground is flat, so this measures memory and time, not accuracy.
    Photographs that are there already are kept.
    """
    rng = np.random.default_rng(seed)
    ground = PatchedGround(ortho)
    gsd_m, camera = 0.1, CAMERA_2MP
    height = camera.height_for_gsd_m(gsd_m)
    focal = height / gsd_m
    step, lane = camera.trigger_m(height, 0.75) / gsd_m, camera.lane_m(height, 0.65) / gsd_m
    per_lane = max(2, round(math.sqrt(frames * lane / step)))
    folder.mkdir(parents=True, exist_ok=True)
    wander = np.zeros(2)
    for number in range(frames):
        wander = wander * 0.967 + rng.normal(0, 2.0, 2) * math.sqrt(1 - 0.967**2)
        row, place = divmod(number, per_lane)
        place = place if row % 2 == 0 else per_lane - 1 - place
        x, y = place * step + rng.normal(0, 3), row * lane + rng.normal(0, 3)
        yaw = (90.0 if row % 2 == 0 else 270.0) + rng.normal(0, 1.5)
        path = folder / f"DJI_{number + 1:05d}.JPG"
        if path.exists():
            continue
        image = _seen(
            ground, x, y, math.radians(yaw), focal, rng.normal(0, 0.012, 2), (camera.width_px, camera.height_px)
        )
        at = (x * gsd_m + wander[0] + rng.normal(0, 0.4), -y * gsd_m + wander[1] + rng.normal(0, 0.4))
        lon, lat = 118.0 + at[0] / 91_300.0, 35.0 + at[1] / 110_950.0
        shot = Exposure(
            index=number + 1, file=path.name, time_utc=START + timedelta(seconds=2 * number), system_id=1,
            true_lon=lon, true_lat=lat, true_alt_amsl_m=60 + height, camera_roll_deg=0.0, camera_pitch_deg=-90.0,
            camera_yaw_deg=yaw, lon=lon, lat=lat, alt_amsl_m=60 + height, height_rel_m=height,
        )  # fmt: skip
        light = np.clip(image * math.exp(rng.normal(0, 0.05)), 0, 255).astype(np.uint8)
        data = cv2.imencode(".jpg", light, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes()
        path.write_bytes(with_metadata(data, shot, camera))
    return folder


def _seen(
    ground: PatchedGround, x: float, y: float, yaw: float, focal: float, tilt: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """What a slightly tilted camera over the ground sees; x, y, focal in pixels of the ground."""
    width, height = size
    sin, cos = math.sin(yaw), math.cos(yaw)
    # Image to ground: right is (cos, sin), down is (-sin, cos) with y running south.
    look = np.array([[cos, -sin, x], [sin, cos, y], [0, 0, 1]])
    level = np.array([[1, 0, tilt[0] * focal], [0, 1, tilt[1] * focal], [-tilt[0] / focal, -tilt[1] / focal, 1]])
    to_ground = look @ level @ np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1]])
    corners = to_ground @ np.array([[0, width, width, 0], [0, 0, height, height], [1, 1, 1, 1]])
    low = np.floor((corners[:2] / corners[2]).min(axis=1)).astype(int) - 2
    high = np.ceil((corners[:2] / corners[2]).max(axis=1)).astype(int) + 2
    part = ground.window(low[1], low[0], high[1], high[0])
    shift = np.array([[1, 0, -low[0]], [0, 1, -low[1]], [0, 0, 1]])
    return cv2.warpPerspective(part, shift @ to_ground, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
