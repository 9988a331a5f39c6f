"""The local metric frame: the UTM zone of the middle of the flight, and what north means there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer


@dataclass(frozen=True)
class LocalFrame:
    """A metric coordinate system and its way to and from longitude and latitude.

    Attributes:
        crs: "EPSG:32650" and the like, or a WKT of a local system where nothing says where on Earth it is.
    """

    crs: str

    @cached_property
    def _forward(self) -> Transformer:
        return Transformer.from_crs("EPSG:4326", self.crs, always_xy=True)

    @property
    def is_local(self) -> bool:
        """Whether it is unknown where on Earth this frame lies."""
        return not self.crs.startswith("EPSG:")

    def to_metres(self, lon: Sequence[float], lat: Sequence[float]) -> NDArray[np.float64]:
        """Longitude and latitude to (n, 2) metres."""
        x, y = self._forward.transform(np.asarray(lon, float), np.asarray(lat, float))
        return np.column_stack([x, y])

    def to_lonlat(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, 2) metres to (n, 2) longitude and latitude; NaN in a local system."""
        points = np.atleast_2d(np.asarray(xy, float))
        if self.is_local:
            return np.full((len(points), 2), np.nan)
        lon, lat = self._forward.transform(points[:, 0], points[:, 1], direction="INVERSE")
        return np.column_stack([lon, lat])

    def grid_north_deg(self, lon: float, lat: float) -> float:
        """Degrees to add to an azimuth from true north to have it from this frame's y axis."""
        step = 1e-4
        points = self.to_metres([lon, lon], [lat, lat + step])
        east, north = points[1] - points[0]
        return float(np.degrees(np.arctan2(east, north)))


def utm_frame(lon: Sequence[float], lat: Sequence[float]) -> LocalFrame:
    """The UTM zone of the median position."""
    middle_lon, middle_lat = float(np.median(lon)), float(np.median(lat))
    zone = min(60, int((middle_lon + 180.0) // 6.0) + 1)
    return LocalFrame(f"EPSG:{(32600 if middle_lat >= 0 else 32700) + zone}")


def unknown_frame() -> LocalFrame:
    """A metric system that is nowhere on Earth, for photographs without any position or ground control."""
    return LocalFrame(
        'LOCAL_CS["unknown place (no positions, no ground control)",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]'
    )


def same_crs(one: str, other: str) -> bool:
    """Whether two definitions mean the same system."""
    return one == other or CRS.from_user_input(one) == CRS.from_user_input(other)
