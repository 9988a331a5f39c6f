"""Which site a candidate is, and what the site already knows of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from shapely.geometry.base import BaseGeometry
from sqlalchemy import Select, bindparam, select
from sqlalchemy.orm import Session

from api.base import utcnow
from api.database import is_postgres
from api.geo import Box, box_values, grow, in_metres, touching
from api.ids import uuid7
from api.sites.models import Site

# Policy, not tuning: how far a thing may seem to move between days (the registration bar of the stitcher is under a
# metre, plain-GPS patrols without a baseline a few), and how much of the smaller outline must be shared.
REACH_M = 5.0
SHARE = 0.35
# A point (a photograph without a pose) is its own neighbourhood.
POINT_RADIUS_M = 8.0
# A verdict holds until the thing has outgrown it by both.
GROWN_SHARE = 1.3
GROWN_M2 = 10.0

Verdict = Literal["not_a_problem", "already_on_platform", "lawful", "on_record", "unclear", "wrong"]
# 非问题, 平台已有, 合法已批, 历史存量在册, 类别位置错 stay with the site; 不清需补拍 asks for the next photographs.
STANDING: frozenset[str] = frozenset({"not_a_problem", "already_on_platform", "lawful", "on_record", "wrong"})


@dataclass(frozen=True)
class Match:
    """The site that a candidate is, and how well their outlines agree (0..1)."""

    site: Site
    share: float


def search_box(geometry: BaseGeometry) -> Box:
    """Where another sighting of this geometry could lie."""
    return grow(geometry.bounds, max(REACH_M, POINT_RADIUS_M))


def _footprint(geometry: BaseGeometry, anchor: tuple[float, float]) -> BaseGeometry:
    metric = in_metres(geometry, anchor)
    return metric.buffer(POINT_RADIUS_M) if metric.area == 0 else metric


def share_of(a: BaseGeometry, b: BaseGeometry) -> float:
    """The part of the smaller of two WGS84 outlines that the other covers, the best within a metre of slack."""
    anchor = (a.centroid.x, a.centroid.y)
    one, two = _footprint(a, anchor), _footprint(b, anchor)
    smaller = min(one.area, two.area)
    slack = one.buffer(1.0)
    return min(float(slack.intersection(two).area) / smaller, 1.0)


_SITES: Any = Site.__table__


@cache
def _near(postgres: bool) -> Select[Any]:
    near = select(_SITES.c.pk, _SITES.c.geom).where(
        _SITES.c.family == bindparam("family"), touching("sites", postgres)
    )  # fmt: skip
    return near.with_for_update()


def find(session: Session, family: str, geometry: BaseGeometry) -> Match | None:
    """The site of this family that the geometry shows, the best by shared outline; locked for this transaction."""
    asked = {"family": family, **box_values(search_box(geometry))}
    rows = session.connection().execute(_near(is_postgres(session)), asked).all()
    shares = [(share_of(geometry, row.geom), row.pk) for row in rows]
    share, pk = max(shares, key=lambda one: one[0], default=(0.0, 0))
    if share < SHARE:
        return None
    # Its lock is held: what is read now stays as it is.
    return Match(session.get_one(Site, pk, populate_existing=True), share)


def found(family: str, geometry: BaseGeometry, area_m2: float) -> Site:
    """A new site, not yet stored."""
    west, south, east, north = geometry.bounds
    now = utcnow()
    return Site(
        id=uuid7(),
        family=family,
        geom=geometry,
        min_lon=west,
        min_lat=south,
        max_lon=east,
        max_lat=north,
        area_m2=area_m2,
        times_seen=1,
        first_seen_at=now,
        last_seen_at=now,
    )


def seen_again(site: Site, geometry: BaseGeometry, area_m2: float) -> None:
    """The site takes the newest outline (a heap moves and grows), unless it is a mere point."""
    site.times_seen += 1
    site.last_seen_at = utcnow()
    if geometry.area > 0:
        site.geom = geometry
        site.min_lon, site.min_lat, site.max_lon, site.max_lat = geometry.bounds
        site.area_m2 = area_m2


def stands(site: Site, area_m2: float) -> bool:
    """Whether the site's verdict still answers for a sighting of this size."""
    if site.verdict not in STANDING:
        return False
    judged = site.verdict_area_m2 or 0.0
    return not (area_m2 > judged * GROWN_SHARE and area_m2 > judged + GROWN_M2)


def give_verdict(site: Site, verdict: str | None, area_m2: float | None, by: str | None) -> None:
    """Sets, or with None takes back, what was decided about the site."""
    site.verdict, site.verdict_by = verdict, by
    site.verdict_area_m2 = area_m2 if verdict else None
    site.verdict_at = utcnow() if verdict else None
