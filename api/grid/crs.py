"""Output coordinates by setting: WGS84, CGCS2000, 3-degree Gauss-Krüger, Web Mercator, or a local system."""

from __future__ import annotations

import math
from functools import lru_cache

from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from api.errors import ApiError
from api.settings import ApiSettings


@lru_cache(maxsize=32)
def _transformer(target: str) -> Transformer:
    try:
        return Transformer.from_crs(4326, CRS.from_user_input(target), always_xy=True)
    except CRSError as error:
        raise ApiError(f"output_crs {target[:40]!r} is not known: an EPSG code such as EPSG:4548, or local") from error


def gauss_krueger(lon: float) -> str:
    """The EPSG code of the CGCS2000 3-degree zone of a longitude, without zone prefix (4548 is CM 117E)."""
    zone = round(lon / 3.0)
    return f"EPSG:{4534 + zone - 25}"


def to_output(settings: ApiSettings, lon: float, lat: float) -> tuple[float, float]:
    """A WGS84 position in the output system: x is east or longitude, y is north or latitude.

    `output_crs` "gk3" takes the 3-degree zone of the position itself; "local" turns, scales and shifts that by
    `local_params` (dx_m, dy_m, scale, rotation_rad): x' = dx + k (x cos a - y sin a), y' = dy + k (x sin a + y cos a).

    Raises:
        ApiError: Unknown system, or "local" without its parameters.
    """
    target = settings.output_crs
    if target in ("gk3", "local"):
        x, y = _transformer(gauss_krueger(lon)).transform(lon, lat)
        if target == "gk3":
            return float(x), float(y)
        if settings.local_params is None:
            raise ApiError("output_crs is local and local_params is not set: give dx_m, dy_m, scale, rotation_rad")
        dx, dy, scale, turn = settings.local_params
        cos, sin = math.cos(turn), math.sin(turn)
        return dx + scale * (x * cos - y * sin), dy + scale * (x * sin + y * cos)
    x, y = _transformer(target).transform(lon, lat)
    return float(x), float(y)
