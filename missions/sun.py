"""Sunrise and sunset, to a couple of minutes: enough to know which flights are in the dark."""

from __future__ import annotations

import math
from datetime import datetime

_HORIZON_DEG = -0.833


def elevation_deg(time_utc: datetime, lon: float, lat: float) -> float:
    """Height of the sun above the horizon (low-precision formulae of the Astronomical Almanac)."""
    days = (time_utc.timestamp() - 946728000.0) / 86400.0  # since 2000-01-01 12:00 UTC
    mean = math.radians((357.528 + 0.9856003 * days) % 360)
    ecliptic = math.radians((280.460 + 0.9856474 * days) % 360 + 1.915 * math.sin(mean) + 0.020 * math.sin(2 * mean))
    tilt = math.radians(23.439 - 4e-7 * days)
    right = math.atan2(math.cos(tilt) * math.sin(ecliptic), math.cos(ecliptic))
    declination = math.asin(math.sin(tilt) * math.sin(ecliptic))
    sidereal = math.radians((280.46061837 + 360.98564736629 * days + lon) % 360)
    hour = sidereal - right
    latitude = math.radians(lat)
    sine = math.sin(latitude) * math.sin(declination) + math.cos(latitude) * math.cos(declination) * math.cos(hour)
    return math.degrees(math.asin(sine))


def is_dark(time_utc: datetime, lon: float, lat: float) -> bool:
    """Whether the sun is below the horizon."""
    return elevation_deg(time_utc, lon, lat) < _HORIZON_DEG
