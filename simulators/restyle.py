"""Other roofs for a town that stands: fibre cement, glazed tiles, felt, plastic sheet, rust, panels.

A town keeps its layout; only what its roofs are made of changes, and only where variety is asked for.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simulators.palette import jitter
from simulators.things import RGB, Building

Rng = np.random.Generator

# By cover: its colours, and the roofs it lies on.
COVERS: dict[str, tuple[tuple[RGB, ...], tuple[str, ...]]] = {
    "asbestos": (((150, 148, 142), (128, 126, 120), (170, 166, 156), (112, 108, 102)), ("gable", "mono")),
    "glazed": (((196, 140, 52), (176, 72, 46), (60, 104, 84), (58, 84, 132), (150, 62, 52)), ("gable", "hip")),
    "felt": (((62, 62, 64), (78, 76, 74), (54, 58, 62), (98, 94, 90)), ("flat", "mono", "gable")),
    "sheet": (((106, 150, 122), (96, 138, 172), (196, 204, 198), (160, 176, 150)), ("mono", "gable")),
    "rust": (((142, 96, 70), (124, 88, 70), (150, 124, 104), (112, 96, 90)), ("mono", "gable")),
    "steel": (
        ((236, 236, 232), (196, 60, 50), (52, 76, 120), (44, 120, 176), (86, 92, 100), (214, 190, 120), (80, 130, 96),
         (150, 196, 214), (60, 60, 66)),
        ("mono", "gable"),
    ),
    "tile": (((176, 118, 92), (92, 70, 66), (140, 84, 64), (74, 78, 84), (190, 140, 110)), ("gable", "hip")),
    "membrane": (((206, 204, 198), (196, 120, 96), (120, 150, 130), (134, 132, 128), (236, 236, 234)), ("flat",)),
}  # fmt: skip


def restyled(rng: Rng, body: Building, share: float = 0.55) -> Building:
    """A building with another roof `share` of the time: a cover that its form can carry."""
    if rng.random() > share:
        return body
    fit = [name for name, (_, roofs) in COVERS.items() if body.roof in roofs]
    if body.use == "container":
        fit = ["steel", "rust"]
    cover = str(rng.choice(fit))
    colours = COVERS[cover][0]
    return replace(body, cover=cover, rgb=jitter(rng, colours[int(rng.integers(len(colours)))], 10))
