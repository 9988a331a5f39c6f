"""Ground texture: colour of each surface as a mixture of fields from ten metres down to four centimetres."""

from __future__ import annotations

from dataclasses import dataclass

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
_COUNT = 40


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
}


def _tables(season: Season, soil: RGB) -> tuple[Floats, Floats, Floats]:
    """Per class: base (40, 3), amplitudes (40, 4), hue (40, 3)."""
    base = np.zeros((_COUNT, 3), np.float32)
    amplitude = np.zeros((_COUNT, 4), np.float32)
    hue = np.ones((_COUNT, 3), np.float32)
    for surface, (rgb, big, mid, small, grain, direction) in LOOKS.items():
        colour = np.array(rgb, np.float32)
        if surface in GREEN:
            colour += season.green
        if surface in BARE:
            colour += soil
        if surface in (Surface.ASPHALT, Surface.CONCRETE, Surface.SOIL, Surface.PAVING):
            colour *= 1 - 0.25 * season.wet
        base[surface], amplitude[surface], hue[surface] = colour, (big, mid, small, grain), direction
    return base, amplitude, hue


def ground(
    grid: Grid, surface: NDArray[np.uint8], region: NDArray[np.uint16], regions: list[Region], noise: Noise,
    season: Season, soil: RGB,
) -> tuple[Floats, Floats]:  # fmt: skip
    """Colour (rows, cols, 3) and roughness in m (rows, cols) of bare ground.

    `region` holds index + 1 into `regions`, for tints and rows; 0 is none.
    """
    base, amplitude, hue = _tables(season, soil)
    big = noise.field(grid, 9.0) * 0.8 + noise.field(grid, 31.0) * 0.6
    mid, small = noise.field(grid, 1.6), noise.field(grid, 0.35)
    mid = mid * 0.7 + noise.field(grid, 0.7, 1) * 0.6
    fine = small * 0.7 + noise.field(grid, 0.12) * 0.7
    grain = noise.grain(grid)
    amp = amplitude[surface]
    rgb = base[surface]
    light = mid * amp[..., 1] + fine * amp[..., 2] + grain * amp[..., 3]
    rgb = rgb + light[..., None]
    rgb += (big * amp[..., 0])[..., None] * hue[surface]
    rough = np.zeros(surface.shape, np.float32)
    _patches(rgb, surface, big, mid, fine, noise, grid, soil)
    if region.any():
        _rows(grid, rgb, rough, region, regions, fine)
    green = np.isin(surface, GREEN)
    rough += np.where(green, 0.02 + 0.035 * fine, 0.0).astype(np.float32)
    rough[surface == Surface.WATER] = -0.3
    return rgb, rough


def _patches(
    rgb: Floats, surface: NDArray[np.uint8], big: Floats, mid: Floats, fine: Floats, noise: Noise, grid: Grid, soil: RGB
) -> None:
    """Worn soil in grass, weeds in soil, stains on hard ground: edges that a feature detector holds on to."""
    worn = big * 0.5 + noise.field(grid, 3.7, 2) * 0.9 + mid * 0.3 + fine * 0.18
    earth = np.array(LOOKS[Surface.SOIL][0], np.float32) + soil
    grassy = np.isin(surface, (Surface.LAWN, Surface.GARDEN, Surface.ROUGH))
    share = np.clip((worn - 0.75) / 0.25, 0, 1) * 0.75 * grassy
    rgb += share[..., None] * (earth + (8 * fine)[..., None] - rgb)
    weedy = np.isin(surface, (Surface.SOIL, Surface.GRAVEL, Surface.TRACK))
    weeds = np.clip((noise.field(grid, 2.3, 3) + 0.5 * fine - 0.72) / 0.2, 0, 1) * 0.7 * weedy
    rgb += weeds[..., None] * (np.array((92, 108, 58), np.float32) - rgb)
    hard = np.isin(surface, (Surface.ASPHALT, Surface.CONCRETE, Surface.PAVING))
    stain = np.clip((noise.field(grid, 1.1, 4) * 0.8 + noise.field(grid, 4.5, 5) * 0.7 + 0.2 * fine - 0.7) / 0.3, 0, 1)
    rgb *= (1 - 0.22 * stain * hard)[..., None]
    pale = np.clip((noise.field(grid, 2.9, 6) + 0.3 * fine - 0.8) / 0.3, 0, 1)
    rgb += (16 * pale * hard)[..., None]


def _rows(
    grid: Grid, rgb: Floats, rough: Floats, region: NDArray[np.uint16], regions: list[Region], fine: Floats
) -> None:
    """Tints of regions, and crop rows or furrows along their azimuth."""
    count = len(regions) + 1
    tint, wave, strength = (
        np.zeros((count, 3), np.float32),
        np.zeros((count, 2), np.float32),
        np.zeros(count, np.float32),
    )
    for k, item in enumerate(regions, start=1):
        tint[k] = item.tint
        if item.row_m > 0:
            turn = np.radians(item.azimuth_deg)
            wave[k] = np.array((np.cos(turn), -np.sin(turn))) * 2 * np.pi / item.row_m
            strength[k] = {Surface.CROP: 17.0, Surface.PLOUGHED: 12.0, Surface.STUBBLE: 8.0}.get(item.surface, 4.0)
    rgb += tint[region]
    if not strength.any():
        return
    k = wave[region]
    phase = grid.xs[None, :] * k[..., 0] + grid.ys[:, None] * k[..., 1] + 0.9 * fine
    row = cv2.multiply(np.cos(phase), strength[region])
    rgb += row[..., None] * np.array((-0.75, 0.25, -0.45), np.float32)
    rough += row * 0.006
