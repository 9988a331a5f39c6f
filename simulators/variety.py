"""Unpermitted work of more kinds than a plain day has: lean-tos of any cover, raised roofs, walls with corners."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from shapely.geometry import LineString, Polygon

from simulators.palette import jitter
from simulators.restyle import restyled
from simulators.things import RGB, XY, Building, Wall

if TYPE_CHECKING:
    from simulators.town import Town

Rng = np.random.Generator
WALL_RGB: tuple[RGB, ...] = (
    (176, 140, 124), (162, 158, 152), (206, 200, 190), (150, 92, 70), (92, 126, 160), (120, 118, 114), (226, 224, 218),
)  # fmt: skip


def lean_to(rng: Rng, town: Town) -> tuple[Building, Polygon] | None:
    """One try at an addition to any side of any house, hall or shed; and the ground that it needs."""
    hosts = [b for b in town.things.buildings if b.use not in ("container", "shell") and town.inside(b)]
    if not hosts:
        return None
    weights = np.array([b.length_m + b.width_m for b in hosts])
    host = hosts[int(rng.choice(len(hosts), p=weights / weights.sum()))]
    gable_end = rng.random() < 0.3
    along, reach = (host.width_m, host.length_m) if gable_end else (host.length_m, host.width_m)
    long = along if rng.random() < 0.15 else float(rng.uniform(min(2.5, along), min(14, along)))
    deep = float(rng.uniform(1.8, 5.5))
    side = float(rng.choice([-1.0, 1.0])) * (reach / 2 + deep / 2)
    slide = float(rng.uniform(-0.5, 0.5)) * (along - long)
    turn = math.radians(host.azimuth_deg + (90 if gable_end else 0))
    x = host.x + slide * math.sin(turn) + side * math.cos(turn)
    y = host.y + slide * math.cos(turn) - side * math.sin(turn)
    azimuth = host.azimuth_deg + (90 if gable_end else 0) + (180 if side > 0 else 0)
    flush = host.eave_m < 4.5 and rng.random() < 0.4
    eave = host.eave_m - 0.5 if flush else float(rng.uniform(2.1, min(4.2, host.eave_m + 0.5)))
    rgb = host.rgb if rng.random() < 0.3 else town.palette.steel(rng)
    roof = "flat" if rng.random() < 0.25 else "mono"
    body = Building(
        x, y, long, deep, azimuth, max(1.9, eave), 0.25 if roof == "flat" else float(rng.uniform(0.2, 0.7)), roof,
        "concrete" if roof == "flat" else "steel", rgb, host.wall_rgb, "shed", _seed(rng),
    )  # fmt: skip
    return restyled(rng, body, 0.5), body.polygon.difference(host.polygon.buffer(0.3))


def roof_room(rng: Rng, town: Town) -> Building | None:
    """A storey put on part of a flat roof; None where no roof is flat."""
    hosts = [
        b for b in town.things.buildings if b.roof == "flat" and b.use in ("house", "flats", "hall") and town.inside(b)
    ]
    if not hosts:
        return None
    host = hosts[int(rng.integers(len(hosts)))]
    long = min(host.length_m - 1.2, float(rng.uniform(3.5, 14)))
    deep = min(host.width_m - 1.2, float(rng.uniform(3, 8)))
    along = float(rng.choice([-0.5, 0.0, 0.5])) * (host.length_m - 0.8 - long)
    across = float(rng.choice([-0.5, 0.5])) * (host.width_m - 0.8 - deep)
    turn = math.radians(host.azimuth_deg)
    x = host.x + along * math.sin(turn) + across * math.cos(turn)
    y = host.y + along * math.cos(turn) - across * math.sin(turn)
    roof = str(rng.choice(["mono", "gable", "flat"]))
    body = Building(
        x, y, long, deep, host.azimuth_deg, host.eave_m + float(rng.uniform(2.3, 3.1)), 0.4, roof,
        "concrete" if roof == "flat" else "steel", town.palette.steel(rng), town.palette.wall(rng), "shed", _seed(rng),
    )  # fmt: skip
    return restyled(rng, body, 0.4)


def wall(rng: Rng) -> tuple[Wall, Polygon]:
    """A wall about (0, 0), straight, with a corner or around a yard; and its footprint."""
    long, turn = float(rng.uniform(8, 40)), float(rng.uniform(0, 2 * math.pi))
    points: list[XY] = [(0.0, 0.0), (long, 0.0)]
    if rng.random() < 0.55:
        short = float(rng.uniform(4, 20))
        points.append((long, short))
        if rng.random() < 0.4:
            points.append((long - float(rng.uniform(0.4, 1)) * long, short))
    cx, cy = (sum(p[k] for p in points) / len(points) for k in (0, 1))
    cos, sin = math.cos(turn), math.sin(turn)
    turned = tuple(((x - cx) * cos - (y - cy) * sin, (x - cx) * sin + (y - cy) * cos) for x, y in points)
    thick, tall = float(rng.uniform(0.24, 0.5)), float(rng.uniform(1.2, 3.0))
    body = Wall(turned, thick, tall, jitter(rng, WALL_RGB[int(rng.integers(len(WALL_RGB)))]))
    return body, footprint(body)


def footprint(body: Wall) -> Polygon:
    """Outline of a wall."""
    return Polygon(LineString(body.points).buffer(body.thickness_m / 2, cap_style="flat", join_style="mitre").exterior)


def _seed(rng: Rng) -> int:
    return int(rng.integers(1, 2**31))
