"""The platform's own open cases, imported: what they already hold raises no new case."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.base import utcnow
from api.errors import InvalidError
from api.geo import read_geometry
from api.sites.models import ForeignCase


def load_open_cases(session: Session, collection: dict[str, Any]) -> int:
    """Adds or updates cases by their `platform_no`; gives how many.

    Raises:
        InvalidError: A feature without number, family or place.
    """
    features = collection.get("features")
    if not isinstance(features, list):
        raise InvalidError("a GeoJSON FeatureCollection was expected")
    for i, feature in enumerate(features):
        _load(session, i, feature if isinstance(feature, dict) else {})
    session.flush()
    return len(features)


def _load(session: Session, i: int, feature: dict[str, Any]) -> None:
    properties = feature.get("properties") or {}
    number, family = str(properties.get("platform_no") or ""), properties.get("family")
    if not 1 <= len(number) <= 64 or family not in ("construction", "sanitation"):
        raise InvalidError(f"features[{i}] should have platform_no and family (construction or sanitation)")
    geometry = read_geometry(feature.get("geometry"), f"features[{i}].geometry")
    row = session.scalar(select(ForeignCase).where(ForeignCase.platform_no == number))
    if row is None:
        row = ForeignCase(platform_no=number)
        session.add(row)
    row.family, row.code = family, str(properties["code"])[:8] if properties.get("code") else None
    row.geom, row.open, row.imported_at = geometry, properties.get("open", True) is not False, utcnow()
    row.min_lon, row.min_lat, row.max_lon, row.max_lat = geometry.bounds
