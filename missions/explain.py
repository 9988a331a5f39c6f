"""Reasons: why this direction, this split, this order, with the bound beside the result. Lines for people."""

from __future__ import annotations

import math

import numpy as np

from missions.part import parts_of
from missions.result import PlanResult
from missions.spent import spent_by_all


def bound_m(result: PlanResult) -> float:
    """Area over lane distance, summed over parts of the area: what lanes without turns would measure."""
    return sum(part.target.area / part.strip.lane_m for part in parts_of(result.task)[0])


def _direction_lines(result: PlanResult) -> list[str]:
    lines = []
    if result.task.stretches:
        stretches = result.task.stretches
        width_m = result.task.request.width_m
        return [f"corridor {width_m:g} m wide: {len(stretches)} straight stretches, each swept along itself"]
    if result.task.roster is not None:
        return [_tile_line(result)]
    objective = result.task.request.objective
    for number, weighed in enumerate(result.sweeps, start=1):
        best = weighed[0]
        lines.append(
            f"part {number}: lanes at {(90 - math.degrees(best.direction_rad)) % 180:.0f} degrees from north, "
            f"best of {len(weighed)} directions by {objective}: {best.length_m / 1000:.1f} km in {best.turns} lanes, "
            f"{best.time_s / 60:.0f} min, {best.energy_wh:.0f} Wh before links and home legs"
        )
        for other in weighed[1:3]:
            lines.append(
                f"  instead of {(90 - math.degrees(other.direction_rad)) % 180:.0f} degrees: {other.turns} lanes, "
                f"{other.time_s / best.time_s * 100 - 100:+.1f} % time, "
                f"{other.energy_wh / best.energy_wh * 100 - 100:+.1f} % energy"
            )
    return lines


def _tile_line(result: PlanResult) -> str:
    """Why a brigade's area is cut as it is."""
    swept = [sortie for sortie in result.sorties if not sortie.route.stops]
    seen_m2 = [sum(sortie.route.runs_m()) * sortie.strip.lane_m for sortie in swept]
    share = np.array(seen_m2) / 1e6 if swept else np.zeros(1)
    return (
        f"tiles: {len(swept)}, each what one battery sees from the site beside it, {share.min():.2f} to "
        f"{share.max():.2f} km2; swept in rings from the edge inwards, which fly nothing twice and hardly slow down"
    )


def _split_lines(result: PlanResult) -> list[str]:
    task = result.task
    budget_wh = task.model.budget_wh(task.request.battery_health)
    used = np.array([sortie.energy_wh for sortie in result.sorties])
    wind = f"{task.model.wind_mps:g} m/s from {task.model.wind_from_deg:g} degrees"
    return [
        f"split: {len(used)} sorties, because a battery of {task.profile.battery_wh:g} Wh less "
        f"{task.profile.reserve:.0%} reserve gives {budget_wh:.1f} Wh in wind of {wind}; "
        f"the fullest uses {used.max():.1f}, the mean {used.mean():.1f}",
        f"at least {math.ceil(used.sum() / budget_wh)} sorties would be needed for this energy",
    ]


def _path_lines(result: PlanResult) -> list[str]:
    path_m = sum(sortie.route.path_m for sortie in result.sorties)
    lanes_m = sum(float(sortie.route.legs_m[sortie.route.shooting[:-1]].sum()) for sortie in result.sorties)
    flown_m = sum(float(sortie.route.legs_m.sum()) for sortie in result.sorties)
    bound = bound_m(result)
    return [
        f"path: {path_m / 1000:.2f} km from first to last photographs, bound (area / lane) {bound / 1000:.2f} km, "
        f"ratio {path_m / bound:.3f}",
        f"order: {lanes_m / 1000:.2f} km of lanes, {(path_m - lanes_m) / 1000:.2f} km of links between them, "
        f"{(flown_m - path_m) / 1000:.2f} km from and to take-off sites",
    ]


def _time_lines(result: PlanResult) -> list[str]:
    """Where the flight time goes, as shares of what lanes alone would take: area over lane and speed."""
    task = result.task
    used = spent_by_all(result.sorties, task.model)
    alone_s = bound_m(result) * result.coverage.seen_once / task.profile.cruise_mps
    parts = (
        ("lanes", used.lanes_s),
        ("links", used.links_s),
        ("from and to home", used.home_s),
        ("corners", used.corners_s),
        ("climb and descent", used.vertical_s),
        ("standing", used.stops_s),
    )
    said = ", ".join(f"{name} {seconds / alone_s:.3f}" for name, seconds in parts if seconds >= 0.0005 * alone_s)
    return [
        f"time: {used.total_s / 3600:.2f} h in the air, "
        f"{used.total_s / alone_s:.3f} of seen area / (lane x speed): {said}"
    ]


def explain(result: PlanResult) -> list[str]:
    """Lines that say why a plan is as it is."""
    lines = [*result.task.reasons, *_direction_lines(result), *_split_lines(result)]
    lines += [*_path_lines(result), *_time_lines(result)] if result.coverage.area_m2 else []
    views = sum(len(sortie.route.stops) for sortie in result.sorties)
    if views:
        lines.append(f"places: {views} of {len(result.task.shots)} photographs from standstills are planned")
    crews: dict[str, float] = {}
    for sortie in result.sorties:
        crews[sortie.crew] = crews.get(sortie.crew, 0.0) + sortie.duration_s
    busy = np.array(list(crews.values()))
    lines.append(
        f"crews: {len(busy)}, {busy.min() / 60:.0f} to {busy.max() / 60:.0f} min in the air, "
        f"longest {busy.max() / busy.mean():.2f} of the mean"
    )
    if result.coverage.area_m2:
        once, twice = result.coverage.seen_once, result.coverage.seen_twice
        lines.append(f"coverage: {once:.2%} in a strip or more, {twice:.2%} in two or more")
    return lines + [f"left out: {item.what}: {item.why}; {item.remedy}" for item in result.refused]
