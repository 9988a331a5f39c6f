"""Live positions over HTTP: `yunxun fly --api URL --token T` tells them, the map asks."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from api.base import iso, utcnow
from api.context import Pilot, Staff, problems
from api.fleet.service import LOST_S, Fleet, Position

router = APIRouter(prefix="/api/v1/fleet", tags=["fleet"], responses=problems(401, 403, 422))
Name = Annotated[str, Field(max_length=100)]


class PositionIn(BaseModel):
    """Where an aircraft is."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"lon": 118.3512, "lat": 35.0507, "height_rel_m": 84.4, "yaw_deg": 92.0, "battery": 0.71,
                        "sortie_id": "01K9Z3B8Q2R5T7V9X1Y3Z5A7C9/S01", "patrol_id": "01K9Z3B8Q2R5T7V9X1Y3Z5A7C9",
                        "at": "2026-11-23T01:15:30Z"}
        }
    )  # fmt: skip

    lon: Annotated[float, Field(ge=-180, le=180)]
    lat: Annotated[float, Field(ge=-90, le=90)]
    height_rel_m: Annotated[float, Field(ge=-1000, le=10_000)] | None = None
    yaw_deg: Annotated[float, Field(ge=-360, le=360)] | None = None
    battery: Annotated[float, Field(ge=0, le=1)] | None = None
    sortie_id: Name | None = None
    patrol_id: Name | None = None
    at: AwareDatetime


class PositionOut(BaseModel):
    """Where an aircraft was; `lost` when nothing was heard of it for fifteen seconds."""

    aircraft: str
    station: str
    lon: float
    lat: float
    height_rel_m: float | None
    yaw_deg: float | None
    battery: float | None
    sortie_id: str | None
    patrol_id: str | None
    at: str | None
    age_s: float
    lost: bool


def _fleet(request: Request) -> Fleet:
    fleet: Fleet = request.app.state.fleet
    return fleet


def _out(one: Position, now: datetime) -> PositionOut:
    age_s = max((now - one.heard_at).total_seconds(), 0.0)
    return PositionOut(
        aircraft=one.aircraft,
        station=one.by,
        lon=one.lon,
        lat=one.lat,
        height_rel_m=one.height_rel_m,
        yaw_deg=one.yaw_deg,
        battery=one.battery,
        sortie_id=one.sortie_id,
        patrol_id=one.patrol_id,
        at=iso(one.at),
        age_s=round(age_s, 1),
        lost=age_s > LOST_S,
    )


@router.put("/{aircraft}", responses=problems(429))
async def put(
    aircraft: Annotated[str, Path(pattern=r"^[A-Za-z0-9_\-]{1,40}$")], body: PositionIn, request: Request, actor: Pilot
) -> dict[str, bool]:
    """Tells where an aircraft is; one that is older than what is known changes nothing."""
    position = Position(aircraft, actor.name, **body.model_dump(), heard_at=utcnow())
    return {"taken": _fleet(request).put(position)}


@router.get("")
async def positions(request: Request, actor: Staff) -> list[PositionOut]:
    """Where every aircraft is that was heard of within ten minutes."""
    now = utcnow()
    return [_out(one, now) for one in _fleet(request).all(now)]
