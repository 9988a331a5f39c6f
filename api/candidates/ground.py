"""What is known of the ground that a thing stands on: its grid cell, and an open case of the platform's own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from shapely.geometry import Point
from shapely.geometry.base import BaseGeometry
from sqlalchemy import Select, and_, bindparam, literal_column, select, true
from sqlalchemy.orm import Session

from api.database import is_postgres
from api.geo import box_values, touching
from api.grid.models import GridCell
from api.grid.service import Where
from api.sites.models import ForeignCase
from api.sites.service import SHARE, search_box, share_of

_CELLS: Any = GridCell.__table__
_FOREIGN: Any = ForeignCase.__table__


@dataclass(frozen=True)
class Ground:
    """Where a point belongs, and the platform's number of its own open case there, if one was imported."""

    where: Where
    platform_no: str | None


@cache
def _around(postgres: bool) -> Select[Any]:
    """Both in one round trip; either may be missing."""
    c, f = _CELLS.c, _FOREIGN.c
    once = select(literal_column("1").label("one")).subquery("once")
    held = and_(f.family == bindparam("family"), f.open == true(), touching("foreign_cases", postgres, "2"))
    return select(
        c.cell, c.district, c.street, c.community, c.tier, c.name, c.geom.label("cell_geom"), f.platform_no,
        f.geom.label("foreign_geom"),
    ).select_from(
        once.outerjoin(_CELLS, touching("grid_cells", postgres)).outerjoin(_FOREIGN, held)
    )  # fmt: skip


def ground(session: Session, family: str, geometry: BaseGeometry, point: Point) -> Ground:
    """The cell that covers `point`, and the open foreign case that `geometry` shows best."""
    asked: dict[str, Any] = {"family": family, **box_values((point.x, point.y, point.x, point.y))}
    asked |= {f"{name}2": value for name, value in box_values(search_box(geometry)).items()}
    rows = session.connection().execute(_around(is_postgres(session)), asked).all()
    inside = next((row for row in rows if row.cell_geom is not None and row.cell_geom.covers(point)), None)
    where = Where(*inside[:6]) if inside is not None else Where()
    shares = {row.platform_no: row.foreign_geom for row in rows if row.platform_no is not None}
    best = max(((share_of(geometry, geom), number) for number, geom in shares.items()), default=(0.0, ""))
    return Ground(where, best[1] if best[0] >= SHARE else None)
