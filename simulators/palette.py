"""A town's colours: roofs, walls, cars, soils; drawn once a town, so that towns differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulators.things import RGB

Rng = np.random.Generator

TILES: tuple[RGB, ...] = ((150, 92, 72), (132, 80, 68), (164, 110, 86), (112, 74, 64), (108, 102, 100), (92, 96, 102))
STEELS: tuple[RGB, ...] = (
    (76, 112, 160),
    (88, 132, 180),
    (62, 94, 142),
    (160, 78, 68),
    (138, 66, 62),
    (206, 208, 206),
    (176, 182, 184),
    (102, 134, 114),
    (136, 130, 122),
)
MEMBRANES: tuple[RGB, ...] = ((150, 148, 142), (172, 168, 160), (118, 116, 114), (92, 90, 90), (188, 186, 180))
WALLS: tuple[RGB, ...] = ((212, 204, 188), (196, 178, 152), (176, 120, 96), (224, 222, 216), (160, 158, 154))
CARS: tuple[RGB, ...] = (
    (232, 232, 230),
    (230, 230, 232),
    (40, 42, 46),
    (26, 28, 32),
    (142, 146, 150),
    (186, 188, 190),
    (150, 34, 32),
    (38, 62, 118),
    (112, 92, 70),
)


def jitter(rng: Rng, rgb: RGB, spread: float = 9.0) -> RGB:
    """A colour near `rgb`: brightness moves most."""
    light = rng.normal(0, spread)
    r, g, b = (float(np.clip(c + light + rng.normal(0, spread / 3), 8, 247)) for c in rgb)
    return (r, g, b)


@dataclass(frozen=True)
class Palette:
    """Weights with which a town draws its colours, and tints of its ground."""

    tiles: tuple[float, ...]
    steels: tuple[float, ...]
    walls: tuple[float, ...]
    soil: RGB
    steel_share: float
    flat_share: float

    @classmethod
    def drawn(cls, rng: Rng) -> Palette:
        """One town's palette."""
        soils: tuple[RGB, ...] = ((10, 2, -6), (-8, -6, -4), (16, -4, -16), (4, 8, 6), (-2, -2, -2))
        return cls(
            _weights(rng, len(TILES)),
            _weights(rng, len(STEELS)),
            _weights(rng, len(WALLS)),
            soils[int(rng.integers(len(soils)))],
            float(rng.uniform(0.1, 0.35)),
            float(rng.uniform(0.05, 0.4)),
        )

    def tile(self, rng: Rng) -> RGB:
        """A tiled roof."""
        return jitter(rng, TILES[int(rng.choice(len(TILES), p=self.tiles))])

    def steel(self, rng: Rng) -> RGB:
        """A coloured steel roof."""
        return jitter(rng, STEELS[int(rng.choice(len(STEELS), p=self.steels))])

    def membrane(self, rng: Rng) -> RGB:
        """A flat roof."""
        return jitter(rng, MEMBRANES[int(rng.integers(len(MEMBRANES)))])

    def wall(self, rng: Rng) -> RGB:
        """A facade."""
        return jitter(rng, WALLS[int(rng.choice(len(WALLS), p=self.walls))])

    @staticmethod
    def car(rng: Rng) -> RGB:
        """A car's paint."""
        return jitter(rng, CARS[int(rng.integers(len(CARS)))], 5.0)


def _weights(rng: Rng, count: int) -> tuple[float, ...]:
    weights = rng.dirichlet(np.full(count, 0.7)) * 0.85 + 0.15 / count
    return tuple(float(w) for w in weights / weights.sum())
