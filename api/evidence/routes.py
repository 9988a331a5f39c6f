"""Evidence over HTTP: a case's files and pictures, originals with a reason, the dossier, roots and the public key."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response
from pydantic import BaseModel

from api.auth.service import audit
from api.base import iso
from api.candidates.routes import Number, PatrolId
from api.cases import service as cases
from api.context import CaseReader, Here, Officer, problems
from api.errors import NotFoundError
from api.evidence import dossier, merkle, service
from api.evidence.models import MerkleRoot
from api.evidence.signing import public_key

router = APIRouter(prefix="/api/v1", tags=["evidence"], responses=problems(401, 403, 404, 422))
Sha = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]
_JPEG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}}}
_ZIP: dict[int | str, dict[str, Any]] = {200: {"content": {"application/zip": {}}}}


class EvidenceOut(BaseModel):
    """One file of a case."""

    name: str
    sha256: str
    kind: str
    parent: str | None
    media_type: str
    size_bytes: int
    file: str | None
    deleted: bool


@router.get("/cases/{case_id}/evidence")
def evidence(case_id: UUID, here: Here, actor: CaseReader) -> list[EvidenceOut]:
    """The case's files, collected now if they were not yet."""
    with here.database.read() as session:
        cases.get(session, case_id, actor.districts)
    service.collect(here, case_id)
    with here.database.read() as session:
        return [EvidenceOut(**item) for item in service.evidence_of(session, cases.get(session, case_id))]


@router.get("/cases/{case_id}/evidence/{name}.jpg", response_class=Response, responses=_JPEG)
def picture(
    case_id: UUID, name: Annotated[str, Path(pattern=r"^[a-z0-9\-]{1,40}$")], here: Here, actor: CaseReader
) -> Response:
    """A boxed, stamped picture of a case, at most 1 MB."""
    with here.database.read() as session:
        case = cases.get(session, case_id, actor.districts)
        data = service.picture(session, here, case, name)
    return Response(data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=86400"})


@router.get("/evidence/{sha256}", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
def original(
    sha256: Sha, here: Here, actor: Officer, reason: Annotated[str, Query(min_length=1, max_length=500)]
) -> Response:
    """An original, untouched: officers alone, with a reason, and on record."""
    with here.database.write() as session:
        row, data = service.read_original(session, here, sha256, actor.name, reason)
        media_type = row.media_type
    headers = {"Content-Disposition": f'attachment; filename="{sha256[:12]}.jpg"', "Cache-Control": "no-store"}
    return Response(data, media_type=media_type, headers={**headers, "X-Content-Type-Options": "nosniff"})


@router.get("/candidates/{patrol_id}/{n}/originals/{k}", response_class=Response, responses=_JPEG)
def photograph(
    patrol_id: PatrolId,
    n: Number,
    k: Annotated[int, Path(ge=1, le=99)],
    here: Here,
    actor: Officer,
    reason: Annotated[str, Query(min_length=1, max_length=500)],
) -> Response:
    """A candidate's k-th best photograph as the camera made it: officers alone, with a reason, and on record."""
    with here.database.write() as session:
        name, data = service.read_photograph(session, here, f"{patrol_id}/{n}", k, actor, reason)
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(data, media_type="image/jpeg", headers={**headers, "X-Content-Type-Options": "nosniff"})


@router.get("/cases/{case_id}/dossier", response_class=Response, responses=_ZIP)
def get_dossier(case_id: UUID, here: Here, actor: CaseReader) -> Response:
    """The signed dossier; `yunxun verify DOSSIER` checks it offline."""
    with here.database.read() as session:
        cases.get(session, case_id, actor.districts)
    service.collect(here, case_id)
    with here.database.write() as session:
        case = cases.get(session, case_id)
        data = dossier.build(session, here, case)
        audit(session, actor.name, "dossier.export", str(case.id))
        name = f"{case.number}.zip"
    return Response(
        data, media_type="application/zip", headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


class RootOut(BaseModel):
    """A day's signed root, hex."""

    day: str
    root: str
    previous: str
    chains: int
    signature: str
    key: str
    made_at: str | None


def _root(row: MerkleRoot) -> RootOut:
    return RootOut(
        day=row.day.isoformat(),
        root=row.root.hex(),
        previous=row.previous.hex(),
        chains=row.chains,
        signature=row.signature.hex(),
        key=row.key.hex(),
        made_at=iso(row.made_at),
    )


@router.get("/roots/{day}")
def root(day: date, here: Here, actor: CaseReader) -> RootOut:
    """The signed Merkle root of a day (UTC) that was closed."""
    with here.database.read() as session:
        row = session.get(MerkleRoot, day)
        if row is None:
            raise NotFoundError(f"{day} is not closed")
        return _root(row)


@router.post("/roots/close")
def close(here: Here, actor: Officer) -> list[RootOut]:
    """Closes every day that is over; a timer calls this once a day."""
    with here.database.write() as session:
        return [_root(row) for row in merkle.close_days(session, here.settings)]


@router.get("/key")
def key(here: Here, actor: CaseReader) -> dict[str, str]:
    """The installation's public key, to be pinned by whoever verifies."""
    return {"ed25519": public_key(here.settings).hex()}
