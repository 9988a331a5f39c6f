"""Buildings, slabs and walls painted into a window: height above the ground, colour, class."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from simulators.raster import Floats, Grid
from simulators.things import Building, Prop, Slab, Surface

Flags = NDArray[np.bool_]
COVERS = {
    "tile": Surface.ROOF_TILE,
    "steel": Surface.ROOF_STEEL,
    "membrane": Surface.ROOF_FLAT,
    "concrete": Surface.ROOF_FLAT,
    "asbestos": Surface.ROOF_TILE,
    "glazed": Surface.ROOF_TILE,
    "felt": Surface.ROOF_FLAT,
    "sheet": Surface.ROOF_STEEL,
    "rust": Surface.ROOF_STEEL,
}


def local_axes(grid: Grid, x: float, y: float, azimuth_deg: float) -> tuple[Floats, Floats]:
    """Coordinates of a window's pixels along and across an azimuth, from (x, y), in m: (rows, cols) each."""
    turn = math.radians(azimuth_deg)
    dx = (grid.xs - x)[None, :]
    dy = (grid.ys - y)[:, None]
    along = dx * math.sin(turn) + dy * math.cos(turn)
    across = dx * math.cos(turn) - dy * math.sin(turn)
    return along.astype(np.float32), across.astype(np.float32)


def lattice(
    body: Building | Slab | Prop, channel: int, a: Floats, b: Floats, step: tuple[float, float], smooth: bool
) -> Floats:
    """Random values fixed to a body's own axes: one a cell (step along, step across), or smooth between cells."""
    rng = np.random.default_rng([body.seed, channel])
    count_a, count_b = int(body.length_m / step[0]) + 4, int(body.width_m / step[1]) + 4
    table = rng.standard_normal((count_b, count_a), np.float32)
    u, v = a * np.float32(1 / step[0]) + np.float32(count_a / 2), b * np.float32(1 / step[1]) + np.float32(count_b / 2)
    flags = cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST
    return cv2.remap(table, u, v, flags, borderMode=cv2.BORDER_REFLECT)


def roof(grid: Grid, body: Building) -> tuple[Floats, Floats, Flags]:
    """Height above the ground in m, colour and cover of a building in a window."""
    a, b = local_axes(grid, body.x, body.y, body.azimuth_deg)
    half_a, half_b = body.length_m / 2, body.width_m / 2
    inside = (np.abs(a) <= half_a) & (np.abs(b) <= half_b)
    height = np.full(a.shape, body.eave_m, np.float32)
    if body.roof == "gable":
        height += body.rise_m * (1 - np.abs(b) / half_b)
    elif body.roof == "hip":
        height += body.rise_m * np.clip(np.minimum((half_b - np.abs(b)) / half_b, (half_a - np.abs(a)) / half_b), 0, 1)
    elif body.roof == "mono":
        height += body.rise_m * (b + half_b) / (2 * half_b)
    painters = {
        "tile": _tiles, "steel": _steel, "membrane": _flat, "concrete": _flat, "asbestos": _asbestos,
        "glazed": _glazed, "felt": _felt, "sheet": _sheet, "rust": _rust,
    }  # fmt: skip
    rgb = np.empty((*a.shape, 3), np.float32)
    rgb[:] = body.rgb
    wear = lattice(body, 1, a, b, (2.2, 2.2), True) * 4 + lattice(body, 2, a, b, (0.6, 0.6), True) * 4
    rgb += wear[..., None]
    painters[body.cover](body, a, b, rgb, height)
    if body.roof == "flat" and body.use in ("house", "flats", "hall"):
        _rooftop(body, a, b, rgb, height)
    return height, rgb, inside


def _tiles(body: Building, a: Floats, b: Floats, rgb: Floats, height: Floats) -> None:
    """Courses along the ridge, a brightness of its own for each tile, repaired patches, moss, ridge caps."""
    course, column = 0.34, 0.26
    wave = np.cos(2 * np.pi * b / course)
    height += 0.018 * wave
    rgb += (5.0 * wave)[..., None]
    rgb += (lattice(body, 3, a, b, (column, course), False) * 8.5)[..., None]
    patch = lattice(body, 4, a, b, (1.3, 1.36), False) + lattice(body, 5, a, b, (3.9, 3.4), False)
    rgb += (11.0 * (patch > 2.0))[..., None] * np.array((1.0, 0.7, 0.55), np.float32)
    moss = np.clip(lattice(body, 6, a, b, (1.8, 1.1), True) - 0.75, 0, 1) * 0.55
    rgb += moss[..., None] * (np.array((74, 78, 58), np.float32) - rgb)
    ridge = np.abs(b) < 0.13
    if body.roof == "gable":
        rgb[ridge] = rgb[ridge] * 0.8 + 10


def _steel(body: Building, a: Floats, b: Floats, rgb: Floats, height: Floats) -> None:
    """Ribs from ridge to eave, sheets a metre wide with lapped ends, streaks of rust and dust."""
    rib = 0.30 if body.use in ("shed", "container") else 0.42
    wave = np.cos(2 * np.pi * a / rib)
    height += 0.012 * wave
    rgb *= (1 + 0.06 * wave)[..., None]
    rgb += (lattice(body, 3, a, b, (1.0, 6.0), False) * 5.0)[..., None]
    rgb += (lattice(body, 4, a, b, (0.22, 2.5), True) * 4.0)[..., None]
    rust = np.clip(lattice(body, 5, a, b, (0.5, 1.7), True) - 1.35, 0, 1) * 0.8
    rgb += rust[..., None] * (np.array((120, 78, 52), np.float32) - rgb)
    if body.use == "hall":
        light = (np.abs(np.mod(a + 40, 6.0) - 3.0) < 0.5) & (
            np.abs(np.abs(b) - body.width_m * 0.25) < body.width_m * 0.14
        )
        if body.seed % 3 == 0:
            rgb[light] = (196, 204, 204)


def _asbestos(body: Building, a: Floats, b: Floats, rgb: Floats, height: Floats) -> None:
    """Fibre cement: close waves, sheets of their own age, lichen, dark runs, a sheet replaced."""
    wave = np.cos(2 * np.pi * a / 0.18)
    height += 0.02 * wave
    rgb += (6 * wave)[..., None] + (lattice(body, 3, a, b, (0.95, 1.75), False) * 8)[..., None]
    dark = np.clip(lattice(body, 4, a, b, (0.5, 2.4), True) - 0.2, 0, 1) * 0.28
    rgb *= (1 - dark)[..., None]
    lichen = lattice(body, 5, a, b, (0.25, 0.25), True) > 1.5
    rgb[lichen] += np.array((16, 14, -4), np.float32)
    fresh = lattice(body, 6, a, b, (0.95, 1.75), False) > 2.0
    rgb[fresh] = rgb[fresh] * 0.4 + 118


def _glazed(body: Building, a: Floats, b: Floats, rgb: Floats, height: Floats) -> None:
    """Glazed tiles: round courses down the slope that glint, a pale ridge."""
    wave = np.cos(2 * np.pi * a / 0.24)
    course = np.mod(b + 50, 0.3) < 0.04
    height += 0.03 * wave
    rgb *= (1 + 0.12 * wave)[..., None]
    rgb[course] *= 0.86
    rgb += (lattice(body, 3, a, b, (0.24, 0.3), False) * 6)[..., None]
    rgb[np.abs(b) < 0.14] = rgb[np.abs(b) < 0.14] * 0.6 + 80


def _felt(body: Building, a: Floats, b: Floats, rgb: Floats, height: Floats) -> None:
    """Bitumen felt: strips with lapped seams, patches, bricks and boards that hold it down."""
    rgb[np.abs(np.mod(b + 50, 1.0) - 0.5) < 0.05] *= 1.18
    rgb += (lattice(body, 3, a, b, (1.6, 1.0), False) * 5)[..., None]
    patch = lattice(body, 4, a, b, (1.2, 0.9), False) > 1.5
    rgb[patch] = rgb[patch] * 0.7 + np.array((40, 38, 40), np.float32)
    weight = lattice(body, 5, a, b, (0.26, 0.26), False) > 2.3
    rgb[weight] = (150, 104, 84)
    height[weight] += 0.1


def _sheet(body: Building, a: Floats, b: Floats, rgb: Floats, height: Floats) -> None:
    """Plastic sheet: milky, ribbed, purlins showing through, yellowed runs."""
    wave = np.cos(2 * np.pi * a / 0.21)
    height += 0.015 * wave
    rgb *= (1 + 0.04 * wave)[..., None]
    rgb[np.abs(np.mod(b + 50, 1.2) - 0.6) < 0.06] *= 0.87
    rgb += (lattice(body, 3, a, b, (0.9, 4.0), False) * 7)[..., None]
    old = np.clip(lattice(body, 4, a, b, (0.4, 1.8), True) - 0.4, 0, 1) * 0.3
    rgb += old[..., None] * (np.array((150, 140, 104), np.float32) - rgb)


def _rust(body: Building, a: Floats, b: Floats, rgb: Floats, height: Floats) -> None:
    """Old iron: sheets of mixed origin, rust in runs, holes mended with whatever there was."""
    wave = np.cos(2 * np.pi * a / 0.15)
    height += 0.012 * wave
    rgb *= (1 + 0.05 * wave)[..., None]
    own = lattice(body, 3, a, b, (0.85, 2.0), False)
    rgb += (own * 15)[..., None]
    blue = own > 1.4
    rgb[blue] = rgb[blue] * 0.3 + np.array((70, 92, 120), np.float32)
    run = np.clip(lattice(body, 4, a, b, (0.35, 1.4), True) - 0.1, 0, 1) * 0.6
    rgb += run[..., None] * (np.array((116, 72, 46), np.float32) - rgb)
    rgb += (lattice(body, 5, a, b, (0.12, 0.12), True) * 7)[..., None]


def _flat(body: Building, a: Floats, b: Floats, rgb: Floats, height: Floats) -> None:
    """A parapet, seams a metre apart, puddle stains."""
    edge = np.minimum(body.length_m / 2 - np.abs(a), body.width_m / 2 - np.abs(b))
    parapet = (edge < 0.25) & (body.use != "container")
    height += np.where(parapet, max(body.rise_m, 0.02), 0.0).astype(np.float32)
    rgb[parapet] = rgb[parapet] * 0.5 + 92
    seam = (np.abs(np.mod(b + 50, 1.0) - 0.5) < 0.04) | (np.abs(np.mod(a + 50, 7.5) - 0.5) < 0.04)
    rgb[seam & ~parapet] *= 0.86
    puddle = np.clip(lattice(body, 3, a, b, (2.8, 2.8), True) - 0.5, 0, 1) * 0.35
    rgb *= (1 - puddle)[..., None]
    rgb += (lattice(body, 4, a, b, (0.15, 0.15), True) * 4)[..., None]


def _rooftop(body: Building, a: Floats, b: Floats, rgb: Floats, height: Floats) -> None:
    """Stair heads, water tanks, solar heaters and air conditioners on a flat roof."""
    rng = np.random.default_rng([body.seed, 8])
    count = int(rng.poisson(body.length_m * body.width_m / 26))
    for _ in range(count):
        kind = rng.random()
        ca = rng.uniform(-0.42, 0.42) * body.length_m
        cb = rng.uniform(-0.36, 0.36) * body.width_m
        if kind < 0.15 and body.use == "flats":
            size, top, colour = (4.0, 3.0), 2.6, (176, 172, 164)
        elif kind < 0.45:
            size, top, colour = (1.9, 1.3), 0.9, (44, 58, 92)
        elif kind < 0.7:
            size, top, colour = (1.1, 0.9), 0.9, (214, 214, 210)
        else:
            size, top, colour = (0.8, 0.8), 0.7, (138, 138, 136)
        hit = (np.abs(a - ca) < size[0] / 2) & (np.abs(b - cb) < size[1] / 2)
        height[hit] = body.eave_m + top
        rgb[hit] = np.array(colour, np.float32) + rng.normal(0, 8)


def slab(grid: Grid, body: Slab) -> tuple[Floats, Floats, Flags]:
    """A foundation: concrete with formwork edges, stub columns, dark joints where walls will stand."""
    a, b = local_axes(grid, body.x, body.y, body.azimuth_deg)
    half_a, half_b = body.length_m / 2, body.width_m / 2
    inside = (np.abs(a) <= half_a) & (np.abs(b) <= half_b)
    height = np.full(a.shape, body.height_m, np.float32)
    rgb = np.empty((*a.shape, 3), np.float32)
    rgb[:] = body.rgb
    rgb += (lattice(body, 1, a, b, (1.4, 1.4), True) * 6 + lattice(body, 2, a, b, (0.2, 0.2), True) * 4)[..., None]
    edge = np.minimum(half_a - np.abs(a), half_b - np.abs(b))
    rgb[edge < 0.12] = (128, 100, 70)
    if body.columns:
        step = 2.6 + body.seed % 17 / 10
        beams = (np.abs(np.mod(a + half_a, step) - 0.25) < 0.14) | (np.abs(np.mod(b + half_b, step) - 0.25) < 0.14)
        rgb[beams & (edge > 0.12)] *= 0.82
        stub = (np.abs(np.mod(a + half_a, step) - 0.25) < 0.2) & (np.abs(np.mod(b + half_b, step) - 0.25) < 0.2)
        if body.seed % 5 < 2:
            height[stub] += 0.8
            rgb[stub] = (118, 92, 76)
    return height, rgb, inside
