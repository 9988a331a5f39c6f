"""What lies about or stands lightly: goods in stacks, canopies, panels, beds of soil, sheets, drying grain.

None of it is a building or a dump; all of it has been taken for one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simulators.raster import Floats, Grid
from simulators.roofs import Flags, lattice, local_axes
from simulators.things import RGB, Prop

Painted = tuple[Floats, Floats, Flags]


def prop(grid: Grid, thing: Prop, under: Floats) -> Painted:
    """Height above what it stands on in m, colour and cover of a prop in a window.

    Args:
        grid: The window.
        thing: What is painted.
        under: Colours that are there (rows, cols, 3); thin things let them through.
    """
    a, b = local_axes(grid, thing.x, thing.y, thing.azimuth_deg)
    rgb = np.empty((*a.shape, 3), np.float32)
    rgb[:] = thing.rgb
    height = np.full(a.shape, thing.height_m, np.float32)
    inside = (np.abs(a) <= thing.length_m / 2) & (np.abs(b) <= thing.width_m / 2)
    inside &= KINDS[thing.kind](thing, a, b, rgb, height, under)
    return height, rgb, inside


Painter = Callable[[Prop, Floats, Floats, Floats, Floats, Floats], Flags]


def _cells(thing: Prop, a: Floats, b: Floats, size: tuple[float, float]) -> tuple[Floats, Floats]:
    """Distance from a cell's edge in m, and a number of each cell's own, -1 to 1, over cells that fill the prop."""
    counts = max(1, round(thing.length_m / size[0])), max(1, round(thing.width_m / size[1]))
    step = thing.length_m / counts[0], thing.width_m / counts[1]
    u, v = a + thing.length_m / 2, b + thing.width_m / 2
    iu, iv = np.floor(u / step[0]), np.floor(v / step[1])
    fu, fv = u - iu * step[0], v - iv * step[1]
    edge = np.minimum(np.minimum(fu, step[0] - fu), np.minimum(fv, step[1] - fv))
    table = np.random.default_rng([thing.seed, 3]).uniform(-1, 1, (counts[0] + 2, counts[1] + 2)).astype(np.float32)
    rows = np.clip(iu, 0, counts[0] - 1).astype(np.int32)
    cols = np.clip(iv, 0, counts[1] - 1).astype(np.int32)
    return edge.astype(np.float32), table[rows, cols]


def _ragged(thing: Prop, a: Floats, b: Floats, amount: float, *, square: bool = False) -> Floats:
    """1 at the edge of an outline that wanders, less inside."""
    u, v = np.abs(a) / (thing.length_m / 2), np.abs(b) / (thing.width_m / 2)
    reach = np.maximum(u, v) if square else np.hypot(u, v)
    wander = lattice(thing, 21, a, b, (1.3, 1.3), True) + 0.5 * lattice(thing, 22, a, b, (0.4, 0.4), True)
    return (reach + amount * wander + amount).astype(np.float32)


def _grain(thing: Prop, a: Floats, b: Floats, coarse: float, fine: float) -> Floats:
    """Brightness of earth and goods: clods of a third of a metre, crumbs of five centimetres."""
    clod = lattice(thing, 31, a, b, (0.33, 0.33), True)
    return coarse * clod + fine * lattice(thing, 32, a, b, (0.05, 0.05), False)


def _all(a: Floats) -> Flags:
    return np.ones(a.shape, np.bool_)


def _stack(thing: Prop, a: Floats, b: Floats, rgb: Floats, height: Floats, under: Floats) -> Flags:
    """Pallets: each with its goods, its height and its wrapping; some places empty."""
    edge, own = _cells(thing, a, b, (1.15, 1.05))
    rng = np.random.default_rng([thing.seed, 4])
    mixed = rng.random() < 0.5
    if mixed:
        choice = ((own + 1) * 999).astype(np.int32) % len(GOODS)
        rgb[:] = np.array(GOODS, np.float32)[choice]
    rgb += (own * 14)[..., None]
    rgb += _grain(thing, a, b, 3, 4)[..., None]
    rgb[edge < 0.07] *= 0.55
    height *= 0.72 + 0.28 * own
    return (edge > 0.03) & (own > (-0.75 if mixed else -0.95))


def _bricks(thing: Prop, a: Floats, b: Floats, rgb: Floats, height: Floats, under: Floats) -> Flags:
    """Cubes of bricks or blocks: courses, one stack broken into."""
    edge, own = _cells(thing, a, b, (1.0, 1.0))
    course = np.sin(2 * np.pi * a / 0.22) * np.sin(2 * np.pi * b / 0.12)
    rgb += (10 * course + 9 * own)[..., None] + lattice(thing, 5, a, b, (0.22, 0.12), False)[..., None] * 9
    rgb[edge < 0.04] *= 0.5
    height *= np.where(own > 0.72, 0.45, 1.0)
    return own > -0.93


def _pipes(thing: Prop, a: Floats, b: Floats, rgb: Floats, height: Floats, under: Floats) -> Flags:
    """Pipes or poles side by side along the length, their ends uneven."""
    pitch = 0.3 + thing.seed % 7 / 10
    count = max(1, round(thing.width_m / pitch))
    pitch = thing.width_m / count
    across = np.mod(b + thing.width_m / 2, pitch) / pitch * 2 - 1
    which = np.clip(np.floor((b + thing.width_m / 2) / pitch), 0, count - 1).astype(np.int32)
    own = np.random.default_rng([thing.seed, 6]).uniform(0, 1, count).astype(np.float32)[which]
    bow = np.sqrt(np.clip(1 - across * across, 0, 1))
    rgb *= (0.55 + 0.5 * bow)[..., None]
    rgb += ((own - 0.5) * 22)[..., None] + _grain(thing, a, b, 3, 3)[..., None]
    height *= 0.35 + 0.65 * bow
    return (np.abs(a) < thing.length_m / 2 * (0.82 + 0.18 * own)) & (bow > 0.25)


def _boards(thing: Prop, a: Floats, b: Floats, rgb: Floats, height: Floats, under: Floats) -> Flags:
    """Sawn timber, scaffold boards or steel bars: narrow, askew, of many tones."""
    tone = lattice(thing, 7, a + 0.05 * b, b, (3.0, 0.18), False)
    rgb += (tone * 20)[..., None] + _grain(thing, a, b, 2, 4)[..., None]
    height *= 0.75 + 0.12 * np.clip(tone, -2, 2)
    return tone > -1.7


def _awning(thing: Prop, a: Floats, b: Floats, rgb: Floats, height: Floats, under: Floats) -> Flags:
    """Cloth or sheet on posts: falls to the front, striped or ribbed, sagging between its ribs."""
    how = thing.seed % 4
    rib = np.cos(2 * np.pi * a / (0.9 if how < 2 else 0.25))
    height += 0.12 * b / thing.width_m * 2 + 0.03 * rib
    if how == 0:
        rgb[np.mod(a + 50, 0.8) < 0.4] = (226, 226, 222)
    rgb *= (1 + 0.05 * rib)[..., None]
    rgb += (lattice(thing, 8, a, b, (0.9, 0.7), True) * 6)[..., None]
    if how == 3:
        rgb[:] = rgb * 0.6 + under * 0.4
    return _all(a)


def _stall(thing: Prop, a: Floats, b: Floats, rgb: Floats, height: Floats, under: Floats) -> Flags:
    """A row of market tents, each a pyramid of its own colour, goods between them."""
    edge, own = _cells(thing, a, b, (2.6, 2.6))
    colours = np.array(TENTS, np.float32)
    one = np.random.default_rng([thing.seed, 9]).random() < 0.4
    if not one:
        rgb[:] = colours[((own + 1) * 999).astype(np.int32) % len(TENTS)]
    roof = np.clip(edge / 1.25, 0, 1)
    height += 0.75 * roof - 0.4
    rgb *= (0.93 + 0.1 * roof)[..., None]
    goods = edge < 0.14
    litter = lattice(thing, 11, a, b, (0.4, 0.4), False)
    rgb[goods] = (120 + 45 * litter[goods])[:, None] * np.array((1.1, 0.95, 0.8), np.float32)
    height[goods] = 0.7
    return ~goods | (litter > 0.3)


def _solar(thing: Prop, a: Floats, b: Floats, rgb: Floats, height: Floats, under: Floats) -> Flags:
    """Panels of 1 m by 1.7 m in rows with gaps: cells, silver frames; blue or black."""
    row = 1.7 if thing.on_top else 2.4
    rows = max(1, round(thing.width_m / row))
    pitch = thing.width_m / rows
    v = np.mod(b + thing.width_m / 2, pitch)
    full = thing.on_top and thing.seed % 3 > 0
    deep = pitch - (0.03 if full else 0.35)
    u = np.mod(a + thing.length_m / 2, 1.02)
    rgb[(np.minimum(u, 1.02 - u) < 0.03) | (np.minimum(v, deep - v) < 0.035)] = (150, 154, 160)
    cell = (np.mod(u, 0.165) < 0.022) | (np.mod(v, 0.165) < 0.022)
    rgb[cell] += 16
    rgb += (lattice(thing, 12, a, b, (1.02, pitch), False) * 3)[..., None]
    height += 0.28 * (v / pitch)
    return v < deep


def _bed(thing: Prop, a: Floats, b: Floats, rgb: Floats, height: Floats, under: Floats) -> Flags:
    """A garden bed: dug soil, damp in places, furrows, perhaps seedlings or mulch; its edges crumble."""
    rng = np.random.default_rng([thing.seed, 13])
    furrow = np.cos(2 * np.pi * b / float(rng.uniform(0.35, 0.9)) + 0.4 * lattice(thing, 14, a, b, (0.8, 0.8), True))
    rgb += _grain(thing, a, b, 8, 9)[..., None]
    rgb += (float(rng.uniform(0, 12)) * furrow)[..., None]
    damp = np.clip(lattice(thing, 15, a, b, (1.6, 1.6), True) * 0.5 + float(rng.uniform(-0.2, 0.6)), 0, 1) * 0.35
    rgb *= (1 - damp)[..., None]
    height += 0.05 * furrow + 0.03 * lattice(thing, 31, a, b, (0.33, 0.33), True)
    if rng.random() < 0.5:
        leaf = (furrow > 0.55) & (lattice(thing, 16, a, b, (0.28, 0.28), False) > float(rng.uniform(-0.6, 1.2)))
        rgb[leaf] = (
            np.array((84, 118, 58), np.float32) + (lattice(thing, 17, a, b, (0.1, 0.1), False)[leaf] * 14)[:, None]
        )
        height[leaf] += 0.12
    return _ragged(thing, a, b, 0.06, square=True) < 1


def _earth(thing: Prop, a: Floats, b: Floats, rgb: Floats, height: Floats, under: Floats) -> Flags:
    """Bare ground: trodden, washed or stripped; stones, ruts, tufts, and no height to speak of."""
    rgb += _grain(thing, a, b, 9, 10)[..., None]
    rgb += (lattice(thing, 18, a, b, (2.4, 2.4), True) * 9)[..., None]
    stone = lattice(thing, 19, a, b, (0.12, 0.12), False) > 2.1
    rgb[stone] = np.array((186, 178, 164), np.float32)
    rho = _ragged(thing, a, b, 0.16)
    thin = np.clip((1 - rho) / 0.25, 0, 1)[..., None]
    rgb[:] = rgb * thin + under * (1 - thin)
    height += 0.02 * lattice(thing, 31, a, b, (0.33, 0.33), True)
    return rho < 1


def _tarp(thing: Prop, a: Floats, b: Floats, rgb: Floats, height: Floats, under: Floats) -> Flags:
    """A sheet, flat or over something: folds, shine, weights along its edge."""
    rho = _ragged(thing, a, b, 0.05, square=True)
    fold = lattice(thing, 20, a + 0.3 * b, b, (2.2, 0.35), True) + lattice(thing, 23, a, b - 0.4 * a, (0.4, 1.8), True)
    height *= np.clip(1.25 - rho, 0, 1) ** 0.5 if thing.height_m > 0.2 else 1.0
    height += 0.025 * fold + 0.03
    rgb *= (1 + 0.07 * fold)[..., None]
    weights = (rho > 0.86) & (lattice(thing, 24, a, b, (0.3, 0.3), False) > 1.3)
    rgb[weights] = (140, 110, 96)
    return rho < 1


def _leaves(thing: Prop, a: Floats, b: Floats, rgb: Floats, height: Floats, under: Floats) -> Flags:
    """Fallen leaves, thick in the middle, single ones at the edge."""
    rho = _ragged(thing, a, b, 0.2)
    one = lattice(thing, 25, a, b, (0.09, 0.09), False)
    rgb += (one * 16)[..., None] * np.array((1.0, 0.8, 0.4), np.float32)
    return one > 4.5 * (rho - 0.9)


def _grainfield(thing: Prop, a: Floats, b: Floats, rgb: Floats, height: Floats, under: Floats) -> Flags:
    """Grain spread to dry: thin, raked in lines, with straight sides."""
    rake = np.cos(2 * np.pi * b / 0.5 + lattice(thing, 26, a, b, (1.5, 1.5), True))
    rgb += (5 * rake)[..., None] + _grain(thing, a, b, 4, 7)[..., None]
    return _ragged(thing, a, b, 0.025, square=True) < 1


def _bales(thing: Prop, a: Floats, b: Floats, rgb: Floats, height: Floats, under: Floats) -> Flags:
    """Straw bales, round or in a stack."""
    edge, own = _cells(thing, a, b, (1.35, 1.35))
    rgb += _grain(thing, a, b, 7, 10)[..., None] + (own * 9)[..., None]
    if thing.seed % 2:
        height *= np.clip(0.5 + edge, 0.4, 1)
        return (edge > 0.09) & (own > -0.6)
    rgb[edge < 0.05] *= 0.6
    return own > -0.9


def _greenhouse(thing: Prop, a: Floats, b: Floats, rgb: Floats, height: Floats, under: Floats) -> Flags:
    """A tunnel of film over hoops: milky, ribbed, crops showing through."""
    arch = np.sqrt(np.clip(1 - (b / (thing.width_m / 2)) ** 2, 0, 1))
    height *= 0.35 + 0.65 * arch
    hoop = np.abs(np.mod(a + 50, 1.1) - 0.55) < 0.05
    see = 0.25 + 0.2 * (thing.seed % 3) / 2
    row = np.cos(2 * np.pi * b / 0.8)
    crop = np.array((96, 120, 76), np.float32) + (12 * row)[..., None]
    rgb[:] = rgb * (1 - see) + crop * see
    rgb += (14 * (arch - 0.6) + lattice(thing, 27, a, b, (1.1, 0.9), True) * 7)[..., None]
    rgb[hoop] *= 0.93
    return _all(a)


def _puddle(thing: Prop, a: Floats, b: Floats, rgb: Floats, height: Floats, under: Floats) -> Flags:
    """Standing water: dark, or bright with sky; wet soil around it."""
    rho = _ragged(thing, a, b, 0.18)
    wet = rho > 0.72
    rgb[wet] = under[wet] * 0.68
    rgb += (lattice(thing, 28, a, b, (2.0, 2.0), True) * 3)[..., None]
    return rho < 1


GOODS: tuple[RGB, ...] = (
    (224, 224, 220), (196, 164, 122), (178, 142, 100), (92, 128, 170), (206, 208, 204), (74, 76, 80), (150, 150, 146),
    (188, 92, 70), (214, 188, 110), (110, 140, 104),
)  # fmt: skip
TENTS: tuple[RGB, ...] = ((196, 54, 48), (52, 96, 170), (228, 228, 224), (62, 128, 84), (224, 176, 62), (110, 60, 120))
KINDS: dict[str, Painter] = {
    "stack": _stack, "bricks": _bricks, "pipes": _pipes, "boards": _boards, "awning": _awning, "stall": _stall,
    "solar": _solar, "bed": _bed, "bare_earth": _earth, "tarp": _tarp, "leaves": _leaves, "grain": _grainfield,
    "bales": _bales, "greenhouse": _greenhouse, "puddle": _puddle,
}  # fmt: skip
