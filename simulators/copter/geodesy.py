"""Degrees to metres and back around one point, on the WGS84 ellipsoid's radii of curvature there.

A vehicle flies within a few kilometres of its home; over 5 km this frame and a transverse Mercator differ by
decimetres, and all that a vehicle reports and photographs passes through the same two functions.
"""

from __future__ import annotations

import math

_A_M = 6378137.0
_E2 = 0.0066943799901413165


class LocalFrame:
    """North and east metres about an origin (lon, lat in degrees)."""

    __slots__ = ("_north_per_deg", "lat", "lon")

    def __init__(self, lon: float, lat: float) -> None:
        self.lon, self.lat = lon, lat
        sin2 = math.sin(math.radians(lat)) ** 2
        self._north_per_deg = math.radians(_A_M * (1 - _E2) / (1 - _E2 * sin2) ** 1.5)

    def _east_per_deg(self, lat: float) -> float:
        phi = math.radians(lat)
        return math.radians(_A_M / math.sqrt(1 - _E2 * math.sin(phi) ** 2)) * math.cos(phi)

    def lonlat(self, north_m: float, east_m: float) -> tuple[float, float]:
        """(lon, lat) in degrees of a point given in metres."""
        lat = self.lat + north_m / self._north_per_deg
        return self.lon + east_m / self._east_per_deg(lat), lat

    def north_east(self, lon: float, lat: float) -> tuple[float, float]:
        """(north, east) in metres of a point given in degrees."""
        return (lat - self.lat) * self._north_per_deg, (lon - self.lon) * self._east_per_deg(lat)
