"""One photograph: where its rays go, and what lens, sensor and light make of what they meet."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np

from missions.camera import Camera
from simulators.exposure import Exposure
from simulators.ground import Ground
from simulators.lens import LOWEST_DOWN, Lens, camera_to_enu, coarse_positions, enlarged, rays
from simulators.raster import Bytes, Floats
from simulators.view import Desk, View, window

SKY = (196, 210, 224)
# Sensor noise is kept in bytes about this value.
GRAIN_BIAS = 24
FINISH_ROWS = 32


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
    """Renders photographs of one ground with one camera; holds what does not change from frame to frame."""

    def __init__(self, ground: Ground, camera: Camera, optics: Optics, seed: int) -> None:
        self._share: Floats = np.ones((1, 1), np.float32)
        self._seen_from = (0.0, 0.0)
        self.ground, self.camera, self.optics, self.seed = ground, camera, optics, seed
        self._desk = Desk()
        self.rays = rays(camera, optics.lens)
        self.lag = (coarse_positions(camera.height_px) / camera.height_px - 0.5)[:, None]
        rng = np.random.default_rng([seed, 3])
        size = (camera.height_px + 256, camera.width_px + 256)
        self.grain: Bytes | None = None
        if optics.noise > 0:
            grain = np.clip(np.rint(rng.normal(GRAIN_BIAS, optics.noise, size)), 0, 255).astype(np.uint8)
            self.grain = cv2.merge([grain, grain, grain])
        x = (np.arange(camera.width_px, dtype=np.float32) / camera.width_px - 0.5) * 2
        y = (np.arange(camera.height_px, dtype=np.float32) / camera.height_px - 0.5) * 2
        falloff = 255 - np.float32(255 * optics.vignette / 2) * (x[None, :] ** 2 + y[:, None] ** 2)
        self.falloff: Bytes = cv2.merge([np.rint(falloff).astype(np.uint8)] * 3)

    def develop(self, exposure: Exposure, *, bgr: bool = False) -> Bytes:
        """The photograph as RGB (height, width, 3), or in OpenCV's order."""
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
        view = View(ground, self.camera, col, row, datum, exposure.true_alt_amsl_m - datum, self._desk)
        image, self._share = view.colours(u, v)
        self._seen_from = exposure.true_alt_amsl_m, exposure.true_alt_amsl_m - datum
        self._hide_sky(image, directions)
        return self._exposed(image, exposure, bgr)

    @property
    def heights(self) -> Floats:
        """Of what each pixel of the latest photograph shows, m above sea level: (height, width)."""
        altitude_m, camera_m = self._seen_from
        size = (self.camera.width_px, self.camera.height_px)
        return altitude_m - camera_m * cv2.resize(self._share, size, interpolation=cv2.INTER_NEAREST)

    def _lowest(self, col: float, row: float, directions: Floats, down: Floats, altitude_m: float) -> float:
        """Datum plane: the lowest ground near the photograph, m above sea level."""
        ground = self.ground
        reach = (altitude_m - float(ground.dsm[::64, ::64].min())) / ground.gsd_m
        u, v = directions[..., 0] / down * reach, directions[..., 1] / down * reach
        part = window(ground, (col + u.min(), col + u.max()), (row - v.max(), row - v.min()))
        thin = max(1, (part[0].stop - part[0].start) // 200)
        seen = ground.dsm[part[0].start : part[0].stop : thin, part[1].start : part[1].stop : thin]
        return float(seen.min()) - 0.3 if seen.size else float(ground.dsm[0, 0])

    def _hide_sky(self, image: Bytes, directions: Floats) -> None:
        """Rays above the horizon see haze."""
        steep = -directions[..., 2] / np.linalg.norm(directions, axis=2)
        if steep.min() > LOWEST_DOWN:
            return
        sky = enlarged(steep.astype(np.float32), self.camera)
        image[sky <= LOWEST_DOWN] = SKY

    def _exposed(self, image: Bytes, exposure: Exposure, bgr: bool) -> Bytes:
        """Lens blur, motion blur, vignette, exposure and white balance, sensor noise."""
        optics = self.optics
        kernel = self._smear_of(exposure)
        gains = np.diag(self._gain(exposure) if optics.exposure_drift > 0 else (1.0, 1.0, 1.0))
        levels = gains[::-1].copy() if bgr else gains
        rng = np.random.default_rng([self.seed, exposure.index, exposure.system_id, 12])
        dy, dx = (int(k) for k in rng.integers(0, 256, 2))
        # The blurs reach so many rows beyond a strip.
        halo = (1 if optics.blur_px < 0.8 else math.ceil(4 * optics.blur_px)) + (0 if kernel is None else len(kernel))
        out = np.empty_like(image)
        # In strips: a large photograph is many times the processor's cache.
        for top in range(0, len(image), FINISH_ROWS):
            bottom = min(len(image), top + FINISH_ROWS)
            first = max(0, top - halo)
            part = self._blurred(image[first : min(len(image), bottom + halo)], kernel)[top - first : bottom - first]
            if optics.exposure_drift > 0 or bgr:
                part = cv2.transform(part, levels)
            if optics.vignette > 0:
                part = cv2.multiply(part, self.falloff[top:bottom], scale=1 / 255)
            if self.grain is not None:
                grain = self.grain[dy + top : dy + bottom, dx : dx + self.camera.width_px]
                part = cv2.addWeighted(part, 1.0, grain, 1.0, -GRAIN_BIAS)
            out[top:bottom] = part
        return out

    def _blurred(self, part: Bytes, kernel: Floats | None) -> Bytes:
        blur_px = self.optics.blur_px
        if blur_px > 0.05:
            part = cv2.GaussianBlur(part, (3, 3) if blur_px < 0.8 else (0, 0), blur_px)
        return part if kernel is None else cv2.filter2D(part, -1, kernel)

    def _smear_of(self, exposure: Exposure) -> Floats | None:
        """Motion while the shutter is open, as a kernel; None below half a pixel."""
        speed = math.hypot(exposure.speed_north_mps, exposure.speed_east_mps)
        smear_px = speed * self.optics.exposure_s / max(1e-3, self.camera.gsd_at_m(max(5.0, exposure.height_rel_m)))
        if smear_px <= 0.5:
            return None
        heading = math.degrees(math.atan2(exposure.speed_east_mps, exposure.speed_north_mps))
        return _smear(smear_px, heading - exposure.camera_yaw_deg)

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
