"""Ground texture: colour of each surface as a mixture of fields from ten metres down to four centimetres."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from simulators.raster import Floats, Grid, Noise
from simulators.things import RGB, Region, Surface

# (base colour, 9 m field, 1.6 m field, 0.35 m field, grain): amplitudes in 8-bit steps of brightness; then the hue of
# the 9 m field as an RGB direction. Base colours were read off photographs of parks, roads and building sites.
Look = tuple[RGB, float, float, float, float, RGB]
LOOKS: dict[Surface, Look] = {
    Surface.LAWN: ((104, 122, 62), 10, 9, 10, 9, (1.0, 0.55, 0.45)),
    Surface.ROUGH: ((112, 110, 70), 14, 16, 18, 13, (1.0, 0.7, 0.5)),
    Surface.SOIL: ((152, 128, 100), 12, 11, 10, 9, (1.0, 0.95, 0.85)),
    Surface.ASPHALT: ((122, 122, 124), 7, 6, 4, 5, (1.0, 1.0, 0.98)),
    Surface.CONCRETE: ((172, 168, 158), 9, 8, 5, 5, (1.0, 1.0, 0.95)),
    Surface.PAVING: ((164, 154, 144), 6, 6, 8, 6, (1.0, 0.95, 0.92)),
    Surface.CROP: ((88, 114, 54), 7, 8, 12, 9, (1.0, 0.6, 0.4)),
    Surface.STUBBLE: ((178, 154, 102), 9, 8, 9, 10, (1.0, 0.95, 0.8)),
    Surface.PLOUGHED: ((124, 98, 74), 9, 9, 12, 11, (1.0, 0.95, 0.9)),
    Surface.WATER: ((62, 76, 62), 5, 3, 2, 1.5, (0.8, 1.0, 0.9)),
    Surface.GRAVEL: ((158, 150, 138), 8, 8, 10, 14, (1.0, 1.0, 0.98)),
    Surface.GARDEN: ((116, 112, 72), 14, 17, 14, 11, (1.0, 0.75, 0.6)),
    Surface.TRACK: ((160, 140, 112), 9, 9, 9, 9, (1.0, 0.95, 0.85)),
}
GREEN = (Surface.LAWN, Surface.ROUGH, Surface.CROP, Surface.GARDEN)
BARE = (Surface.SOIL, Surface.TRACK, Surface.PLOUGHED)
HARD = (Surface.ASPHALT, Surface.CONCRETE, Surface.PAVING)
WEEDS = (92.0, 108.0, 58.0)


@dataclass(frozen=True)
class Season:
    """How a time of year looks: tint and liveliness of green, tint of crowns, wetness of hard ground."""

    name: str = "summer"
    green: RGB = (0.0, 0.0, 0.0)
    crown: RGB = (0.0, 0.0, 0.0)
    bare_share: float = 0.0
    wet: float = 0.0


SEASONS: dict[str, Season] = {
    "spring": Season("spring", (-4, 12, -4), (6, 16, -2)),
    "summer": Season("summer"),
    "autumn": Season("autumn", (16, 0, 4), (34, 6, -8), 0.1),
    "winter": Season("winter", (34, 16, 22), (20, 4, 6), 0.45),
    "drought": Season("drought", (38, 14, 8), (14, 2, -4), 0.05),
}


@lru_cache(maxsize=64)
def _tables(season: Season, soil: RGB) -> tuple[Floats, Floats, Floats]:
    """Look-up tables by class: base (3, 256), amplitudes (4, 256), hue of the widest field (3, 256)."""
    base, hue = np.zeros((3, 256), np.float32), np.zeros((3, 256), np.float32)
    amplitude = np.zeros((4, 256), np.float32)
    for surface, (rgb, big, mid, small, grain, direction) in LOOKS.items():
        colour = np.array(rgb, np.float32)
        if surface in GREEN:
            colour += season.green
        if surface in BARE:
            colour += soil
        if surface in HARD or surface == Surface.SOIL:
            colour *= 1 - 0.25 * season.wet
        base[:, surface], amplitude[:, surface] = colour, (big, mid, small, grain)
        hue[:, surface] = np.array(direction, np.float32) * big
    return base, amplitude, hue


@lru_cache(maxsize=64)
def _flag(surfaces: tuple[Surface, ...], value: float) -> Floats:
    """A look-up table that is `value` for some classes and 0 for the rest."""
    table = np.zeros(256, np.float32)
    table[list(surfaces)] = value
    return table


def ground(
    grid: Grid, surface: NDArray[np.uint8], region: NDArray[np.uint16], regions: list[Region], noise: Noise,
    season: Season, soil: RGB,
) -> tuple[Floats, Floats]:  # fmt: skip
    """Colour (rows, cols, 3) and roughness in m (rows, cols) of bare ground.

    `region` holds index + 1 into `regions`, for tints and rows; 0 is none. Wide fields are drawn at a quarter of the
    resolution: they have nothing finer.
    """
    base, amplitude, hue = _tables(season, soil)
    wide = Coarse(grid, noise)
    big = wide.sum((9.0, 0, 0.8), (31.0, 0, 0.6))
    mid = wide.sum((1.6, 0, 0.7), (0.7, 1, 0.6))
    fine: Floats = cv2.addWeighted(noise.field(grid, 0.35), 0.7, noise.field(grid, 0.12), 0.7, 0)
    light: Floats = mid * cv2.LUT(surface, amplitude[1])
    light += fine * cv2.LUT(surface, amplitude[2])
    light += noise.grain(grid) * cv2.LUT(surface, amplitude[3])
    worn, weeds, stain, pale = _patches(surface, fine, wide)
    light += pale
    earth = np.array(LOOKS[Surface.SOIL][0], np.float32) + soil
    fine8 = fine * 8
    bands = []
    for k in range(3):
        band: Floats = cv2.LUT(surface, base[k])
        band += light
        band += big * cv2.LUT(surface, hue[k])
        band += worn * (fine8 + earth[k] - band)
        band += weeds * (WEEDS[k] - band)
        band *= stain
        bands.append(band)
    rgb = cv2.merge(bands)
    rough: Floats = cv2.LUT(surface, _flag(GREEN, 0.035))
    rough *= fine + 0.6
    rough += cv2.LUT(surface, _flag((Surface.WATER,), -0.3))
    if region.any():
        _rows(grid, rgb, rough, region, regions, fine)
    return rgb, rough


class Coarse:
    """Wide noise fields over a grid, summed at a quarter of its resolution."""

    def __init__(self, grid: Grid, noise: Noise) -> None:
        self.noise = noise
        self.size = (grid.cols, grid.rows)
        cols, rows = -(-grid.cols // 4), -(-grid.rows // 4)
        self.grid = Grid(grid.x0, grid.y_top, grid.gsd_m * grid.cols / cols, cols, rows)

    def sum(self, *fields: tuple[float, int, float]) -> Floats:
        """A weighted sum of fields (scale in m, channel, weight) at full resolution."""
        total = sum(weight * self.noise.field(self.grid, scale, channel) for scale, channel, weight in fields)
        return cv2.resize(np.asarray(total, np.float32), self.size, interpolation=cv2.INTER_LINEAR)


def _ramp(field: Floats, start: float, width: float, cap: Floats) -> Floats:
    """0 below `start`, up to `cap` within `width`."""
    field -= start
    field *= 1 / width
    np.clip(field, 0, 1, out=field)
    field *= cap
    return field


def _patches(surface: NDArray[np.uint8], fine: Floats, wide: Coarse) -> tuple[Floats, Floats, Floats, Floats]:
    """Worn soil in grass, weeds in soil, stains on hard ground: edges that a feature detector holds on to.

    Returns shares of soil and of weeds, a factor for stains, and an addition for pale spots.
    """
    worn = wide.sum((3.7, 2, 0.9), (9.0, 0, 0.4), (31.0, 0, 0.3), (1.6, 0, 0.21)) + 0.18 * fine
    worn = _ramp(worn, 0.75, 0.25, cv2.LUT(surface, _flag((Surface.LAWN, Surface.GARDEN, Surface.ROUGH), 0.75)))
    weeds = wide.sum((2.3, 3, 1.0)) + 0.5 * fine
    weeds = _ramp(weeds, 0.72, 0.2, cv2.LUT(surface, _flag((Surface.SOIL, Surface.GRAVEL, Surface.TRACK), 0.7)))
    stain = wide.sum((1.1, 4, 0.8), (4.5, 5, 0.7)) + 0.2 * fine
    stain = 1 - _ramp(stain, 0.75, 0.4, cv2.LUT(surface, _flag(HARD, 0.14)))
    pale = wide.sum((2.9, 6, 1.0)) + 0.3 * fine
    return worn, weeds, stain, _ramp(pale, 0.8, 0.3, cv2.LUT(surface, _flag(HARD, 13.0)))


def _rows(
    grid: Grid, rgb: Floats, rough: Floats, region: NDArray[np.uint16], regions: list[Region], fine: Floats
) -> None:
    """Tints of regions, and crop rows or furrows along their azimuth."""
    count = len(regions) + 1
    tint, strength = np.zeros((count, 3), np.float32), np.zeros(count, np.float32)
    wave = np.zeros((count, 2), np.float32)
    for k, item in enumerate(regions, start=1):
        tint[k] = item.tint
        if item.row_m > 0:
            turn = np.radians(item.azimuth_deg)
            wave[k] = np.array((np.cos(turn), -np.sin(turn))) * 2 * np.pi / item.row_m
            strength[k] = {Surface.CROP: 17.0, Surface.PLOUGHED: 12.0, Surface.STUBBLE: 8.0}.get(item.surface, 4.0)
    where = np.nonzero(region)
    which = region[where]
    phase = grid.xs[where[1]] * wave[which, 0] + grid.ys[where[0]] * wave[which, 1] + 0.9 * fine[where]
    row = np.cos(phase) * strength[which]
    rgb[where] += tint[which] + row[:, None] * np.array((-0.75, 0.25, -0.45), np.float32)
    rough[where] += row * 0.006
