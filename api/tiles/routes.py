"""Pictures over HTTP: tiles and crops; access is checked, results are cached."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response
from pydantic import Field
from sqlalchemy import select

from api.auth.service import Actor
from api.candidates.routes import Number, PatrolId
from api.context import CaseReader, Here, Staff, problems
from api.errors import NotFoundError
from api.geo import Box, touches
from api.grid.models import GridCell
from api.grid.service import has_grid
from api.patrols import service as patrols
from api.review.service import get
from api.tiles import crops, render
from api.tiles.files import stamp
from api.tiles.privacy import finest_gsd_m

router = APIRouter(prefix="/api/v1", tags=["pictures"], responses=problems(401, 403, 404, 422))
Layer = Literal["after", "before"]
_HEADERS = {"Cache-Control": "private, max-age=3600"}
_PNG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}}}
_JPEG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}}}


@router.get("/patrols/{patrol_id}/tiles/{z}/{x}/{y}.png", response_class=Response, responses=_PNG)
def tile(
    patrol_id: Annotated[str, Field(max_length=64)],
    z: Annotated[int, Path(ge=0, le=24)],
    x: Annotated[int, Path(ge=0, lt=2**24)],
    y: Annotated[int, Path(ge=0, lt=2**24)],
    here: Here,
    actor: Staff,
    layer: Annotated[Layer, Query(description="after: this patrol's mosaic; before: its baseline")] = "after",
) -> Response:
    """A 256-pixel Web Mercator tile of the patrol's mosaic, or of its baseline at the same address."""
    if actor.districts:
        _within(here, actor, render.tile_box(z, x, y))
    mosaic = _mosaic(here, patrol_id, layer)
    rules = here.settings.privacy
    key = f"tile:{stamp(mosaic)}:{z}/{x}/{y}:{rules.legible_gsd_m}"
    data = here.pictures.get(key, lambda: render.tile_png(mosaic, z, x, y, rules))
    return Response(data, media_type="image/png", headers=_HEADERS)


def _within(here: Here, actor: Actor, box: Box) -> None:
    """Refuses ground outside the reader's districts; without a grid nobody knows where those are.

    Raises:
        NotFoundError: No cell of theirs touches the box.
    """
    with here.database.read() as session:
        mine = select(GridCell.pk).where(touches(session, "grid_cells", box), GridCell.district.in_(actor.districts))
        if session.scalar(mine.limit(1)) is None and has_grid(session):
            raise NotFoundError("this ground is not in your districts")


def _mosaic(here: Here, patrol_id: str, layer: Layer) -> FilePath:
    with here.database.read() as session:
        patrol = patrols.get_patrol(session, patrol_id)
    path = patrols.path_of(patrol, "mosaic" if layer == "after" else "baseline")
    if path is None:
        what = "mosaic yet" if layer == "after" else "baseline"
        raise NotFoundError(f"patrol {patrol_id} has no {what}")
    return path


@router.get("/candidates/{patrol_id}/{n}/images/{name}.jpg", response_class=Response, responses=_JPEG)
def image(
    patrol_id: PatrolId,
    n: Number,
    name: Annotated[str, Path(pattern=r"^(after|before|frame-[1-9]\d?)$")],
    here: Here,
    actor: CaseReader,
    mark: Annotated[bool, Query(description="draw the outline or the box")] = True,
    size: Annotated[int, Query(ge=64, le=1280, description="side of a chip, pixels")] = crops.CHIP_PX,
    view: Annotated[crops.View, Query(description="how much of a photograph")] = "medium",
) -> Response:
    """The candidate's ground before or after (the same window of both), or its k-th best photograph around it."""
    rules = here.settings.privacy
    with here.database.read() as session:
        candidate = get(session, f"{patrol_id}/{n}", actor.districts)
        patrol = patrols.get_patrol(session, candidate.patrol_id)
        photo, box = None, None
        if name.startswith("frame-"):
            k = int(name.removeprefix("frame-")) - 1
            if k >= len(candidate.frames):
                raise NotFoundError(f"candidate {candidate.id} has {len(candidate.frames)} photographs")
            frame = candidate.frames[k]
            box = tuple(float(value) for value in frame["bbox_px"])
            photo = patrols.find_frame(session, here.settings, patrol, frame["id"], frame.get("file", ""))
            if photo is None:
                raise NotFoundError(f"photograph {frame.get('file') or frame['id'][:12]} is not on this machine")
    if photo is not None and box is not None:
        corners = (box[0], box[1], box[2], box[3])
        poses, report = patrols.path_of(patrol, "poses"), patrols.path_of(patrol, "report")
        key = f"frame:{stamp(photo)}:{corners}:{mark}:{view}:{rules!r}:{report is not None}"

        def made() -> bytes:
            gsd_m = finest_gsd_m(photo, poses, report)
            return crops.frame_jpeg(photo, corners, view=view, mark=mark, gsd_m=gsd_m, rules=rules)

        data = here.pictures.get(key, made)
    else:
        mosaic = _mosaic(here, patrol.id, "after" if name == "after" else "before")
        like = patrols.path_of(patrol, "mosaic")
        key = f"chip:{stamp(mosaic)}:{like}:{candidate.content_sha256.hex()}:{mark}:{size}:{rules.legible_gsd_m}"
        data = here.pictures.get(
            key, lambda: crops.chip_jpeg(mosaic, candidate.geom, like=like, outline=mark, size_px=size, rules=rules)
        )
    return Response(data, media_type="image/jpeg", headers=_HEADERS)
