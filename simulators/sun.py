"""Light: where the sun stands, what it lights, and what the heights keep dark."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

import cv2
import numpy as np

from simulators.raster import Floats


@dataclass(frozen=True)
class Sun:
    """A light: azimuth clockwise from north, elevation above the horizon, cloud 0 (hard shadows) to 1 (none)."""

    azimuth_deg: float = 145.0
    elevation_deg: float = 48.0
    cloud: float = 0.0

    @property
    def toward(self) -> tuple[float, float, float]:
        """Unit vector to the sun (east, north, up)."""
        azimuth, elevation = math.radians(self.azimuth_deg), math.radians(self.elevation_deg)
        flat = math.cos(elevation)
        return flat * math.sin(azimuth), flat * math.cos(azimuth), math.sin(elevation)

    @classmethod
    def at(cls, time_utc: datetime, lon: float, lat: float, cloud: float = 0.0) -> Sun:
        """The sun of a place and a time, within half a degree (declination and equation of time by Spencer 1971)."""
        utc = time_utc.astimezone(UTC)
        hours = utc.hour + utc.minute / 60 + utc.second / 3600
        day = 2 * math.pi * (utc.timetuple().tm_yday - 1 + (hours - 12) / 24) / 365
        tilt = (
            0.006918
            - 0.399912 * math.cos(day)
            + 0.070257 * math.sin(day)
            - 0.006758 * math.cos(2 * day)
            + 0.000907 * math.sin(2 * day)
        )
        equation_min = 229.18 * (
            0.000075
            + 0.001868 * math.cos(day)
            - 0.032077 * math.sin(day)
            - 0.014615 * math.cos(2 * day)
            - 0.040849 * math.sin(2 * day)
        )
        hour_angle = math.radians((hours * 60 + equation_min + 4 * lon) / 4 - 180)
        phi = math.radians(lat)
        up = math.sin(phi) * math.sin(tilt) + math.cos(phi) * math.cos(tilt) * math.cos(hour_angle)
        east = -math.cos(tilt) * math.sin(hour_angle)
        north = math.cos(phi) * math.sin(tilt) - math.sin(phi) * math.cos(tilt) * math.cos(hour_angle)
        azimuth = math.degrees(math.atan2(east, north)) % 360
        return cls(azimuth, math.degrees(math.asin(max(-1.0, min(1.0, up)))), cloud)


def sunlit(heights_m: Floats, gsd_m: float, sun: Sun, tallest_m: float = 45.0) -> Floats:
    """Share of direct sun that reaches each pixel of a height raster (row 0 north), 0..1.

    The height that a shadow reaches is the maximum over t of H(x + t s) - t tan(elevation); it is taken by doubling
    t, so a shadow of 1,000 pixels costs ten passes.
    """
    east, north, up = sun.toward
    flat = math.hypot(east, north)
    slope = up / max(flat, 1e-6)
    step_x, step_y = east / max(flat, 1e-6), -north / max(flat, 1e-6)
    reach_px = tallest_m / max(slope, 0.05) / gsd_m
    shade = np.full_like(heights_m, -1e4)
    _raise(shade, heights_m, step_x, step_y, slope * gsd_m, 1.0)
    length = 1.0
    while length < reach_px:
        _raise(shade, shade, step_x, step_y, slope * gsd_m, length)
        length *= 2
    over = np.subtract(shade, heights_m, out=shade)
    # A penumbra of about half a degree of sun is a few centimetres here: a ramp of 0.35 m also hides the raster steps.
    over *= -1 / 0.35
    over += 1.0
    lit = np.clip(over, 0.0, 1.0, out=over)
    return cv2.GaussianBlur(lit, (3, 3), max(0.6, 0.05 / gsd_m))


def _raise(shade: Floats, source: Floats, step_x: float, step_y: float, fall_m: float, length: float) -> None:
    """Takes `source` as seen `length` pixels towards the sun, lowered by the sun's fall, where it is higher."""
    dx, dy = round(step_x * length), round(step_y * length)
    if dx == 0 and dy == 0:
        dx, dy = (int(math.copysign(1, step_x)), 0) if abs(step_x) > abs(step_y) else (0, int(math.copysign(1, step_y)))
    rows, cols = shade.shape
    if abs(dx) >= cols or abs(dy) >= rows:
        return
    y0, y1 = max(0, -dy), min(rows, rows - dy)
    x0, x1 = max(0, -dx), min(cols, cols - dx)
    lowered = source[y0 + dy : y1 + dy, x0 + dx : x1 + dx] - np.float32(fall_m * math.hypot(dx, dy))
    here = shade[y0:y1, x0:x1]
    np.maximum(here, lowered, out=here)
