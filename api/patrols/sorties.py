"""Sorties of a patrol's plan over HTTP: what a pilot flies today, and the file that the aircraft takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi import Path as InPath
from fastapi.responses import FileResponse
from pydantic import BaseModel

from api.base import iso
from api.context import Here, Staff, problems
from api.errors import NotFoundError
from api.patrols import service
from api.patrols.routes import PatrolId
from missions.errors import MissionsError
from missions.plan import Plan, Sortie, read_plan

router = APIRouter(prefix="/api/v1/patrols", tags=["patrols"], responses=problems(401, 403, 404, 422))
Kind = Literal["kmz", "plan", "waypoints"]
_FILE: dict[int | str, dict[str, Any]] = {200: {"content": {"application/octet-stream": {}}}}


class SortieOut(BaseModel):
    """One sortie. `by_hand`: the aircraft takes a file and is flown by its pilot; else it is flown over MAVLink."""

    name: str
    crew: str
    start_at: str | None
    duration_s: float
    distance_m: float
    photos: int
    lon: float
    lat: float
    by_hand: bool
    files: list[str]


class SortiesOut(BaseModel):
    """The plan's sorties in its order."""

    aircraft: str
    height_agl_m: float
    sorties: list[SortieOut]


def _plan(here: Here, patrol_id: str) -> tuple[Path, Plan]:
    with here.database.read() as session:
        path = service.path_of(service.get_patrol(session, patrol_id), "plan")
    if path is None:
        raise NotFoundError(f"patrol {patrol_id} has no plan: its photographs came from a memory card")
    try:
        return path, read_plan(path)
    except (MissionsError, OSError) as error:
        raise NotFoundError(f"the plan of patrol {patrol_id} cannot be read: plan it again") from error


def _file(path: Path, sortie: Sortie, kind: Kind) -> Path | None:
    name = getattr(sortie.files, kind)
    found = (path.parent / name).resolve() if name else None
    # A name out of a file must not lead out of the plan's folder.
    inside = found is not None and found.is_relative_to(path.parent.resolve()) and found.is_file()
    return found if inside else None


def _out(path: Path, sortie: Sortie) -> SortieOut:
    kinds: tuple[Kind, ...] = ("kmz", "plan", "waypoints")
    return SortieOut(
        name=sortie.short_id,
        crew=sortie.crew,
        start_at=iso(sortie.start_utc),
        duration_s=sortie.duration_s,
        distance_m=sortie.distance_m,
        photos=sortie.photos,
        lon=sortie.home[0],
        lat=sortie.home[1],
        by_hand=sortie.files.kmz is not None,
        files=[kind for kind in kinds if _file(path, sortie, kind)],
    )


@router.get("/{patrol_id}/sorties")
def sorties(patrol_id: PatrolId, here: Here, actor: Staff) -> SortiesOut:
    """The sorties of the patrol's plan."""
    path, plan = _plan(here, patrol_id)
    flown = [_out(path, sortie) for sortie in plan.sorties]
    return SortiesOut(aircraft=plan.aircraft, height_agl_m=plan.height_agl_m, sorties=flown)


@router.get("/{patrol_id}/sorties/{name}.{kind}", response_class=FileResponse, responses=_FILE)
def file(
    patrol_id: PatrolId,
    name: Annotated[str, InPath(pattern=r"^[A-Za-z0-9_\-]{1,32}$")],
    kind: Kind,
    here: Here,
    actor: Staff,
) -> FileResponse:
    """The file of one sortie: `.kmz` for DJI, `.plan` for QGroundControl, `.waypoints` for Mission Planner."""
    path, plan = _plan(here, patrol_id)
    for sortie in plan.sorties:
        found = _file(path, sortie, kind) if sortie.short_id == name else None
        if found is not None:
            return FileResponse(found, media_type="application/octet-stream", filename=f"{patrol_id}-{name}.{kind}")
    raise NotFoundError(f"patrol {patrol_id} has no sortie {name} with a .{kind}")
