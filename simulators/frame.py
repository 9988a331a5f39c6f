"""One photograph: rays to the ground, what they meet, its colour, and what the camera makes of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from missions.camera import Camera
from simulators.exposure import Exposure
from simulators.ground import Ground
from simulators.lens import LOWEST_DOWN, STRIDE_PX, Lens, camera_to_enu, coarse_positions, enlarged, rays
from simulators.raster import Bytes, Floats
from simulators.sight import fan_of, look

# Ground this far beyond the frame's own footprint can lean into it.
LEAN_MARGIN_M = 12.0
# Two heights this near belong to one surface (a roof's slope over a fan's cell), not to a step.
SAME_SURFACE_M = 0.3
SKY = (196, 210, 224)


@dataclass(frozen=True)
class Optics:
    """What lens, sensor and light do to a photograph.

    Attributes:
        lens: Distortion and principal point.
        blur_px: Standard deviation of the point spread.
        exposure_s: Shutter time: ground motion smears over it.
        readout_s: Rolling shutter, first row to last; 0 is a mechanical shutter.
        exposure_drift: Spread of the slow wander of exposure and white balance (share).
        vignette: Loss of light in the corners (share).
        noise: Standard deviation of sensor noise, 8-bit steps.
    """

    lens: Lens = field(default_factory=Lens)
    blur_px: float = 0.45
    exposure_s: float = 0.001
    readout_s: float = 0.0
    exposure_drift: float = 0.05
    vignette: float = 0.12
    noise: float = 1.6

    @classmethod
    def like_dji(cls) -> Optics:
        """A consumer drone's camera."""
        return cls(lens=Lens.like_dji())


class Darkroom:
    """Renders photographs of one ground with one camera; holds what does not change from frame to frame.

    Attributes:
        heights: Of what each pixel of the latest photograph shows, m above sea level.
    """

    def __init__(self, ground: Ground, camera: Camera, optics: Optics, seed: int) -> None:
        self.heights: Floats | None = None
        self.ground, self.camera, self.optics, self.seed = ground, camera, optics, seed
        self.rays = rays(camera, optics.lens)
        self.lag = (coarse_positions(camera.height_px) / camera.height_px - 0.5)[:, None]
        rng = np.random.default_rng([seed, 3])
        size = (camera.height_px + 256, camera.width_px + 256)
        self.grain: NDArray[Any] | None = None
        if optics.noise > 0:
            grain = np.rint(rng.normal(0, optics.noise, size)).astype(np.int16)
            self.grain = cv2.merge([grain, grain, grain])
        x = (np.arange(camera.width_px, dtype=np.float32) / camera.width_px - 0.5) * 2
        y = (np.arange(camera.height_px, dtype=np.float32) / camera.height_px - 0.5) * 2
        falloff = 1 - np.float32(optics.vignette / 2) * (x[None, :] ** 2 + y[:, None] ** 2)
        self.falloff = cv2.merge([falloff.astype(np.float32)] * 3)

    def develop(self, exposure: Exposure) -> Bytes:
        """The photograph as RGB (height, width, 3)."""
        ground = self.ground
        col, row, convergence = ground.place(exposure.true_lon, exposure.true_lat)
        turn = camera_to_enu(exposure.camera_roll_deg, exposure.camera_pitch_deg, exposure.camera_yaw_deg - convergence)
        directions = self.rays @ turn.T.astype(np.float32)
        down = np.maximum(-directions[..., 2], LOWEST_DOWN * np.linalg.norm(directions, axis=2))
        datum = self._lowest(col, row, directions, down, exposure.true_alt_amsl_m)
        height_px = (exposure.true_alt_amsl_m - datum) / ground.gsd_m
        u = directions[..., 0] / down * np.float32(height_px)
        v = directions[..., 1] / down * np.float32(height_px)
        if self.optics.readout_s > 0:
            u = u + (self.lag * self.optics.readout_s * exposure.speed_east_mps / ground.gsd_m).astype(np.float32)
            v = v + (self.lag * self.optics.readout_s * exposure.speed_north_mps / ground.gsd_m).astype(np.float32)
        image, share = self._colours(u, v, col, row, datum, exposure.true_alt_amsl_m - datum)
        self.heights = exposure.true_alt_amsl_m - (exposure.true_alt_amsl_m - datum) * share
        self._hide_sky(image, directions)
        return self._exposed(image, exposure)

    def _lowest(self, col: float, row: float, directions: Floats, down: Floats, altitude_m: float) -> float:
        """Datum plane: the lowest ground near the photograph, m above sea level."""
        ground = self.ground
        reach = (altitude_m - float(ground.dsm[::64, ::64].min())) / ground.gsd_m
        u, v = directions[..., 0] / down * reach, directions[..., 1] / down * reach
        part = self._window(col + u.min(), col + u.max(), row - v.max(), row - v.min())
        thin = max(1, (part[0].stop - part[0].start) // 200)
        seen = ground.dsm[part[0].start : part[0].stop : thin, part[1].start : part[1].stop : thin]
        return float(seen.min()) - 0.3 if seen.size else float(ground.dsm[0, 0])

    def _window(self, col0: float, col1: float, row0: float, row1: float) -> tuple[slice, slice]:
        """Ground pixels of a range with the lean margin, clipped to the raster (never empty)."""
        rows, cols = self.ground.dsm.shape
        margin = LEAN_MARGIN_M / self.ground.gsd_m
        top = int(min(max(0, row0 - margin), rows - 2))
        left = int(min(max(0, col0 - margin), cols - 2))
        return slice(top, int(max(min(rows, row1 + margin), top + 2))), slice(
            left, int(max(min(cols, col1 + margin), left + 2))
        )

    def _colours(
        self, u: Floats, v: Floats, col: float, row: float, datum: float, camera_m: float
    ) -> tuple[Bytes, Floats]:
        """Colour of the first surface along each ray, and the share of the way to the datum at which it lies."""
        camera, ground = self.camera, self.ground
        part = self._window(
            col + min(0.0, float(u.min())), col + max(0.0, float(u.max())), row - max(0.0, float(v.max())),
            row - min(0.0, float(v.min())),
        )  # fmt: skip
        foot_col, foot_row = col - part[1].start, row - part[0].start
        middle = u.shape[0] // 2
        frame_gsd_px = float(np.median(np.hypot(np.diff(u[middle]), np.diff(v[middle])))) / STRIDE_PX
        fan = fan_of(u, v, frame_gsd_px)
        heights = ground.dsm[part]
        sight = look(heights, datum, foot_col, foot_row, camera_m, fan)
        full_u, full_v = enlarged(u, camera), enlarged(v, camera)
        share, wall = sight.at(full_u, full_v)
        cols, rows = self._places(share, full_u, full_v, foot_col, foot_row)
        # The fan is coarser than the photograph: on the surface that it found, the height says where the ray ends.
        below = cv2.remap(heights, cols, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        finer = np.subtract(np.float32(camera_m + datum), below, out=below)
        finer *= np.float32(1 / camera_m)
        near = np.abs(finer - share) < np.float32(SAME_SURFACE_M / camera_m)
        near &= wall == 0
        np.copyto(share, finer, where=near)
        cols, rows = self._places(share, full_u, full_v, foot_col, foot_row)
        where = np.flatnonzero(wall)
        tone, paint = self._walls(where, cols, rows, share, full_u, full_v, camera_m, datum, part)
        rgb = ground.rgb[part]
        if frame_gsd_px > 1.8:
            rgb = cv2.GaussianBlur(np.ascontiguousarray(rgb), (0, 0), 0.35 * frame_gsd_px)
        image: Bytes = cv2.remap(rgb, cols, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        flat = image.reshape(-1, 3)
        if len(where):
            side = flat[where].astype(np.float32) * tone[:, None]
            owned = ~np.isnan(paint[:, 0])
            side[owned] = paint[owned]
            flat[where] = np.clip(side, 0, 255).astype(np.uint8)
        return image, share

    @staticmethod
    def _places(share: Floats, u: Floats, v: Floats, foot_col: float, foot_row: float) -> tuple[Floats, Floats]:
        """Columns and rows of the ground's window where rays end."""
        cols, rows = u * share, v * share
        cols += np.float32(foot_col - 0.5)
        np.subtract(np.float32(foot_row - 0.5), rows, out=rows)
        return cols, rows

    def _walls(
        self, where: NDArray[np.intp], cols: Floats, rows: Floats, share: Floats, u: Floats, v: Floats,
        camera_m: float, datum: float, part: tuple[slice, slice],
    ) -> tuple[Floats, Floats]:  # fmt: skip
        """Light on vertical faces, and their paint where a building's wall is known (else NaN).

        Faces without paint (trees, cars, heaps) show the colour a little further in, darker towards the ground.
        """
        ground = self.ground
        paint = np.full((len(where), 3), np.nan, np.float32)
        if not len(where):
            return np.ones(0, np.float32), paint
        fu, fv = u.ravel()[where], v.ravel()[where]
        length = np.maximum(np.hypot(fu, fv), 1e-3)
        out_x, out_y = fu / length, fv / length
        flat_cols, flat_rows = cols.ravel(), rows.ravel()
        height = camera_m * (1 - share.ravel()[where])
        inward = 0.32 / ground.gsd_m
        wx, wy = flat_cols[where] + out_x * inward, flat_rows[where] - out_y * inward
        facades, owner = ground.facades, ground.owner
        if facades is not None and owner is not None:
            ratio = ground.gsd_m / ground.owner_gsd_m
            oc = np.clip(((wx + part[1].start) * ratio).astype(np.int64), 0, owner.shape[1] - 1)
            orow = np.clip(((wy + part[0].start) * ratio).astype(np.int64), 0, owner.shape[0] - 1)
            index = owner[orow, oc]
            # Above the eave it is the roof's own rim, a parapet or something on the roof.
            known = (index > 0) & (height + datum < facades.body[index, 6] + 0.05)
            body = facades.body[index[known]]
            x = (wx[known] + part[1].start - body[:, 0]) * ground.gsd_m
            y = (body[:, 1] - wy[known] - part[0].start) * ground.gsd_m
            paint[known] = _facade(facades.rgb[index[known]], body, x, y, height[known], ground.sun)
        depth = self._depth(height, flat_cols[where], flat_rows[where], out_x, out_y, part)
        np.put(cols, where, flat_cols[where] + out_x * depth)
        np.put(rows, where, flat_rows[where] - out_y * depth)
        return np.full(len(where), 0.74, np.float32), paint

    def _depth(
        self, height: Floats, cols: Floats, rows: Floats, out_x: Floats, out_y: Floats, part: tuple[slice, slice]
    ) -> Floats:
        """How far inside a leaning side takes its colour, in pixels: up and down the crown, so that it is no streak."""
        ground = self.ground
        swing = np.abs(np.mod(height * 0.7, 2.0) - 1.0) * 1.1 + 0.15
        depth = (swing / ground.gsd_m).astype(np.float32)
        view = ground.dsm[part]
        col = np.clip(np.rint(cols + out_x * depth), 0, view.shape[1] - 1).astype(np.int64)
        row = np.clip(np.rint(rows - out_y * depth), 0, view.shape[0] - 1).astype(np.int64)
        edge_col = np.clip(np.rint(cols), 0, view.shape[1] - 1).astype(np.int64)
        edge_row = np.clip(np.rint(rows), 0, view.shape[0] - 1).astype(np.int64)
        # A thin thing (a wall, a pole) ends before that: stay at its face.
        thin = view[row, col] < view[edge_row, edge_col] - 1.0
        depth[thin] = 0.1 / ground.gsd_m
        return depth

    def _hide_sky(self, image: Bytes, directions: Floats) -> None:
        """Rays above the horizon see haze."""
        steep = -directions[..., 2] / np.linalg.norm(directions, axis=2)
        if steep.min() > LOWEST_DOWN:
            return
        sky = enlarged(steep.astype(np.float32), self.camera)
        image[sky <= LOWEST_DOWN] = SKY

    def _exposed(self, image: Bytes, exposure: Exposure) -> Bytes:
        """Lens blur, motion blur, vignette, exposure and white balance, sensor noise."""
        optics = self.optics
        if optics.blur_px > 0.05:
            image = cv2.GaussianBlur(image, (3, 3) if optics.blur_px < 0.8 else (0, 0), optics.blur_px)
        speed = math.hypot(exposure.speed_north_mps, exposure.speed_east_mps)
        smear_px = speed * optics.exposure_s / max(1e-3, self.camera.gsd_at_m(max(5.0, exposure.height_rel_m)))
        if smear_px > 0.5:
            heading = math.degrees(math.atan2(exposure.speed_east_mps, exposure.speed_north_mps))
            image = cv2.filter2D(image, -1, _smear(smear_px, heading - exposure.camera_yaw_deg))
        if optics.exposure_drift > 0:
            table = np.arange(256, dtype=np.float32)[:, None] * np.array(self._gain(exposure), np.float32)
            image = cv2.LUT(image, np.clip(np.rint(table), 0, 255).astype(np.uint8).reshape(256, 1, 3))
        if optics.vignette > 0:
            image = cv2.multiply(image, self.falloff, dtype=cv2.CV_8U)
        if self.grain is not None:
            rng = np.random.default_rng([self.seed, exposure.index, exposure.system_id, 12])
            dy, dx = (int(k) for k in rng.integers(0, 256, 2))
            grain = self.grain[dy : dy + self.camera.height_px, dx : dx + self.camera.width_px]
            image = cv2.add(image, grain, dtype=cv2.CV_8U)
        return image

    def _gain(self, exposure: Exposure) -> tuple[float, float, float]:
        """Exposure and white balance of a moment: slow waves in time, their phase by seed."""
        drift = self.optics.exposure_drift
        rng = np.random.default_rng([self.seed, exposure.system_id, 15])
        phase = rng.uniform(0, 2 * math.pi, 3)
        seconds = exposure.time_utc.timestamp() % 86400
        light = 1 + drift * (0.7 * math.sin(seconds / 47 + phase[0]) + 0.5 * math.sin(seconds / 13 + phase[1]))
        warm = 0.4 * drift * math.sin(seconds / 91 + phase[2])
        return light * (1 + warm), light, light * (1 - warm)


def _smear(length_px: float, angle_deg: float) -> Floats:
    """A line kernel; `angle_deg` clockwise from the image's up."""
    size = 2 * math.ceil(length_px / 2) + 3
    kernel = np.zeros((size, size), np.float32)
    turn, middle = math.radians(angle_deg), (size - 1) / 2
    for step in np.linspace(-0.5, 0.5, 8 * size):
        x, y = middle + step * length_px * math.sin(turn), middle - step * length_px * math.cos(turn)
        x0, y0 = int(x), int(y)
        for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
            kernel[min(size - 1, y0 + dy), min(size - 1, x0 + dx)] += (1 - abs(x - x0 - dx)) * (1 - abs(y - y0 - dy))
    return kernel / kernel.sum()


def _facade(rgb: Floats, body: Floats, x: Floats, y: Floats, height: Floats, sun: tuple[float, float, float]) -> Floats:
    """Paint of wall points (x east, y north of the body's middle): lit by the sun's side, with rows of windows."""
    turn = np.radians(body[:, 4])
    sin, cos = np.sin(turn), np.cos(turn)
    along, across = x * sin + y * cos, x * cos - y * sin
    end = body[:, 2] / 2 - np.abs(along) < body[:, 3] / 2 - np.abs(across)
    sign = np.where(end, np.sign(along), np.sign(across))
    normal_x, normal_y = np.where(end, sin, cos) * sign, np.where(end, cos, -sin) * sign
    light = 0.42 + 0.58 * np.clip(normal_x * sun[0] + normal_y * sun[1], 0, 1) + 0.1 * sun[2]
    storey = body[:, 5]
    level = np.mod(height + 0.4, np.maximum(storey, 0.1))
    place = np.mod(np.where(end, across, along) + 50, 2.9)
    window = (storey > 0) & (level > 1.0) & (level < 2.3) & (place > 0.9) & (place < 2.2)
    out = rgb * light[:, None]
    out[window] = np.array((62, 72, 84), np.float32) * (0.5 + 0.5 * light[window])[:, None]
    return out
