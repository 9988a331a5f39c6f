"""Zones and obstacles: places with a rule, and things that stand in the air. Also read by the guard in flight."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import shapely
from shapely.geometry.base import BaseGeometry

from missions.errors import MissionsError
from missions.vector import Feature, read_features

ZoneKind = Literal["no-fly", "ceiling", "no-photo", "permitted"]


@dataclass(frozen=True)
class Zone:
    """A place with a rule.

    Attributes:
        kind: What holds inside.
        geometry: Polygon or multipolygon, WGS84 degrees (lon, lat).
        name: For messages and maps.
        max_agl_m: Highest flight above the ground, of a ceiling.
        from_utc: When the rule begins, None: always was.
        to_utc: When it ends, None: never.
    """

    kind: ZoneKind
    geometry: BaseGeometry
    name: str
    max_agl_m: float | None = None
    from_utc: datetime | None = None
    to_utc: datetime | None = None

    def active(self, begin_utc: datetime, end_utc: datetime) -> bool:
        """Whether the rule holds at any time of [`begin_utc`, `end_utc`]."""
        if self.from_utc is not None and end_utc < self.from_utc:
            return False
        return not (self.to_utc is not None and begin_utc > self.to_utc)


@dataclass(frozen=True)
class Obstacle:
    """Something that stands in the air.

    Attributes:
        geometry: Point, line or polygon, WGS84 degrees (lon, lat).
        name: For messages.
        top_agl_m: Its top above the ground, None where the file does not say.
    """

    geometry: BaseGeometry
    name: str
    top_agl_m: float | None


def _time(feature: Feature, key: str) -> datetime | None:
    value = feature.properties.get(key)
    if value is None or value == "":
        return None
    text = str(value).replace("/", "-")
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise MissionsError(
            f"{feature.label}: {key} is {value!r}: expected a time such as 2026-11-23T05:00:00Z; correct the zone"
        ) from error
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _height(feature: Feature, key: str) -> float | None:
    value: Any = feature.properties.get(key)
    if value is None or value == "":
        return None
    try:
        height_m = float(value)
    except (TypeError, ValueError) as error:
        raise MissionsError(f"{feature.label}: {key} is {value!r}: expected metres above ground; correct it") from error
    if not 0 <= height_m < 9000:
        raise MissionsError(f"{feature.label}: {key} is {height_m:g} m: expected 0 to 9000 m above ground; correct it")
    return height_m


def _check_polygon(feature: Feature) -> None:
    if shapely.get_dimensions(feature.geometry) != 2:
        raise MissionsError(f"{feature.label} is a {feature.geometry.geom_type}: a zone is a polygon; draw it as one")
    if not feature.geometry.is_valid:
        reason = shapely.is_valid_reason(feature.geometry)
        raise MissionsError(f"{feature.label} is not a simple polygon ({reason}): redraw its outline without crossings")


def _zone(feature: Feature) -> Zone:
    kind: Any = feature.properties.get("kind")
    if kind not in get_args(ZoneKind):
        raise MissionsError(
            f"{feature.label}: kind is {kind!r}: expected one of {', '.join(get_args(ZoneKind))}; correct the property"
        )
    _check_polygon(feature)
    ceiling_m = _height(feature, "max_agl_m")
    if kind == "ceiling" and not ceiling_m:
        raise MissionsError(f"{feature.label}: a ceiling needs max_agl_m (metres above ground); add the property")
    begin, end = _time(feature, "from"), _time(feature, "to")
    if begin is not None and end is not None and end < begin:
        raise MissionsError(f"{feature.label}: ends ({end}) before it begins ({begin}); correct from and to")
    name = str(feature.properties.get("name") or f"{kind} zone")
    return Zone(kind, feature.geometry, name, ceiling_m, begin, end)


def read_zones(path: Path | None) -> tuple[Zone, ...]:
    """Reads zones (`kind` no-fly, ceiling with `max_agl_m`, no-photo, permitted; optional `from`, `to`, `name`).

    Args:
        path: Vector file in any of the known formats, or None for no zones.

    Raises:
        MissionsError: The file or a feature of it does not hold a zone; the message names the feature.
    """
    return () if path is None else tuple(_zone(feature) for feature in read_features(path))


def read_obstacles(path: Path | None) -> tuple[Obstacle, ...]:
    """Reads obstacles: points, lines or polygons with `top_agl_m`.

    Args:
        path: Vector file in any of the known formats, or None for no obstacles.

    Raises:
        MissionsError: The file cannot be read or a height is not a number.
    """
    if path is None:
        return ()
    return tuple(
        Obstacle(
            feature.geometry, str(feature.properties.get("name") or f"obstacle {number}"), _height(feature, "top_agl_m")
        )
        for number, feature in enumerate(read_features(path), start=1)
    )
