"""Taking candidates in: once each, matched to the site they show, and quiet where the city already decided."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ValidationError
from shapely.geometry.base import BaseGeometry
from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from api.base import utcnow
from api.candidates.ground import ground
from api.candidates.models import DRAWN_FROM, Candidate
from api.candidates.storing import store
from api.cases import service as cases
from api.cases.models import Case
from api.cases.states import ENDED
from api.errors import ConflictError, InvalidError, NotFoundError
from api.feed import service as feed
from api.geo import area_m2, as_geojson, lock_places, read_geometry, tile_of
from api.patrols.models import Patrol
from api.sites import service as sites
from api.sites.models import Site
from inference.sites import SiteFeature, SiteProperties

MAX_FEATURES = 5000
Outcome = Literal["created", "unchanged", "updated", "kept"]
# States in which nobody has decided yet.
OPEN_STATES = ("pending", "second", "on_site")


class Taken(BaseModel):
    """What became of one feature."""

    id: str
    outcome: Outcome
    state: str
    site_id: UUID | None = None
    case_id: UUID | None = None
    cell: str | None = None
    merged_into: str | None = None


@dataclass(frozen=True)
class Sighting:
    """A feature, read and measured."""

    patrol_id: str
    n: int
    properties: SiteProperties
    geometry: BaseGeometry
    area_m2: float
    content: bytes
    more: dict[str, Any]
    drawn_by: str | None = None

    @property
    def id(self) -> str:
        """`<patrol>/<n>`."""
        return f"{self.patrol_id}/{self.n}"


def read_features(body: Any) -> list[Sighting]:
    """Reads a Feature or a FeatureCollection of the `inference.sites` contract.

    Raises:
        InvalidError: Not of the contract; the message names the feature. Nothing is taken of a body with one bad part.
    """
    if not isinstance(body, dict) or body.get("type") not in ("Feature", "FeatureCollection"):
        raise InvalidError("a GeoJSON Feature or FeatureCollection was expected (see docs/api.md)")
    features: Any = [body] if body["type"] == "Feature" else body.get("features")
    if not isinstance(features, list) or len(features) > MAX_FEATURES:
        raise InvalidError(f"features should be a list of at most {MAX_FEATURES}: send the rest in another request")
    result = [_sighting(i, feature, body) for i, feature in enumerate(features)]
    ids = [one.id for one in result]
    if len(set(ids)) != len(ids):
        twice = next(one for one in ids if ids.count(one) > 1)
        raise InvalidError(f"candidate {twice} stands twice in the collection")
    return result


def _sighting(i: int, raw: Any, shared: dict[str, Any]) -> Sighting:
    where = f"features[{i}]"
    try:
        feature = SiteFeature.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidError(f"{where}.{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    geometry = read_geometry(feature.geometry, f"{where}.geometry")
    properties = feature.properties
    if not 0 <= properties.n < DRAWN_FROM:
        raise InvalidError(f"{where}.properties.n should be 0..{DRAWN_FROM - 1}, came {properties.n}")
    more = dict(properties.model_extra or {})
    patrol = raw.get("patrol_id") or more.pop("patrol_id", None) or shared.get("patrol_id")
    models = shared.get("models")
    models = models if isinstance(models, dict) else {}
    model = models.get(properties.family) or next(iter(models.values()), None)
    if isinstance(model, str):
        more["model"] = model[:120]
    if shared.get("mosaic_sha256"):
        more["mosaic_sha256"] = str(shared["mosaic_sha256"])[:64]
    text = feed.canonical({"geometry": as_geojson(geometry), "properties": properties.model_dump(mode="json")})
    content = hashlib.sha256(text.encode()).digest()
    _check(where, properties, more)
    # A single photograph belongs to no patrol: its content is its own.
    patrol_id = str(patrol) if patrol else "loose-" + content.hex()[:24]
    if not 1 <= len(patrol_id) <= 64 or "/" in patrol_id or not patrol_id.isprintable():
        raise InvalidError(f"{where}: patrol_id should be 1 to 64 characters without a slash, came {patrol_id[:80]!r}")
    area = properties.area_m2 if properties.area_m2 is not None else area_m2(geometry)
    return Sighting(patrol_id, properties.n, properties, geometry, float(area), content, more)


def _check(where: str, properties: SiteProperties, more: dict[str, Any]) -> None:
    numbers = (properties.area_m2, properties.height_change_m, properties.excess_m2)
    if any(value is not None and not abs(value) < 1e9 for value in numbers):
        raise InvalidError(f"{where}: an area or a height is not a sensible number")
    if not 1 <= len(properties.label) <= 40 or len(properties.permit_no or "") > 64:
        raise InvalidError(f"{where}: label has 1 to 40 characters, permit_no at most 64")
    if len(properties.frames) > 64 or len(feed.canonical(more)) > 65536:
        raise InvalidError(f"{where}: at most 64 frames and 64 KiB of further properties")
    if any("\x00" in text for text in (properties.label, properties.permit_no or "", feed.canonical(more))):
        raise InvalidError(f"{where}: a NUL character")


def take(session: Session, sightings: list[Sighting], actor: str) -> list[Taken]:
    """Takes all in, in one transaction; each candidate once, however often it is sent."""
    lock_places(session, [(one.properties.family, sites.search_box(one.geometry)) for one in sightings])
    # Read under the lock: another request may have brought the same ones meanwhile.
    known = _known(session, sightings, actor)
    return [_take_one(session, one, known.get(one.id), actor) for one in sightings]


_PATROLS: Any = Patrol.__table__
_CANDIDATES: Any = Candidate.__table__
_KNOWN = (
    select(_PATROLS.c.id, _CANDIDATES.c.id)
    .select_from(
        _PATROLS.outerjoin(
            _CANDIDATES,
            (_CANDIDATES.c.patrol_id == _PATROLS.c.id) & _CANDIDATES.c.id.in_(bindparam("ids", expanding=True)),
        )
    )
    .where(_PATROLS.c.id.in_(bindparam("patrols", expanding=True)))
)


def _known(session: Session, sightings: list[Sighting], actor: str) -> dict[str, Candidate]:
    """The candidates that are there already, locked; patrols that nobody registered are noted."""
    patrols = sorted({one.patrol_id for one in sightings})
    if not patrols:
        return {}
    asked = {"patrols": patrols, "ids": [one.id for one in sightings]}
    rows = session.connection().execute(_KNOWN, asked).all()
    for patrol_id in sorted(set(patrols) - {row[0] for row in rows}):
        statement = cases.upsert(session)(Patrol).values(
            id=patrol_id, name=patrol_id, paths={}, models={}, created_by=actor, created_at=utcnow()
        )
        session.execute(statement.on_conflict_do_nothing())
    found = [row[1] for row in rows if row[1] is not None]
    if not found:
        return {}
    query = select(Candidate).where(Candidate.id.in_(found)).with_for_update()
    return {row.id: row for row in session.scalars(query.execution_options(populate_existing=True))}


def _take_one(session: Session, one: Sighting, known: Candidate | None, actor: str) -> Taken:
    if known is not None:
        return _seen_before(session, one, known, actor)
    candidate, platform_no = _row(session, one)
    settle(session, candidate, actor, platform_no)
    return _taken(candidate, "created")


def _seen_before(session: Session, one: Sighting, known: Candidate, actor: str) -> Taken:
    if known.content_sha256 == one.content:
        return _taken(known, "unchanged")
    if known.state not in (*OPEN_STATES, "settled", "permitted") or known.case_id is not None:
        return _taken(known, "kept")
    fresh, platform_no = _row(session, one)
    for column in ("family", "label", "probability", "area_m2", "height_change_m", "permitted", "permit_no",
                   "excess_m2", "unsure", "geom", "lon", "lat", "tile", "cell", "district", "frames", "more",
                   "content_sha256"):  # fmt: skip
        setattr(known, column, getattr(fresh, column))
    known.version += 1
    settle(session, known, actor, platform_no, again=True)
    return _taken(known, "updated")


def _taken(candidate: Candidate, outcome: Outcome) -> Taken:
    return Taken(
        id=candidate.id,
        outcome=outcome,
        state=candidate.state,
        site_id=candidate.site_id,
        case_id=candidate.case_id,
        cell=candidate.cell,
        merged_into=candidate.merged_into,
    )


def _row(session: Session, one: Sighting) -> tuple[Candidate, str | None]:
    """The candidate, and the platform's own open case on its place."""
    properties = one.properties
    point = one.geometry.representative_point()
    found = ground(session, properties.family, one.geometry, point)
    where = found.where
    row = Candidate(
        id=one.id,
        patrol_id=one.patrol_id,
        n=one.n,
        state="pending",
        family=properties.family,
        label=properties.label,
        probability=properties.probability,
        area_m2=one.area_m2,
        height_change_m=properties.height_change_m,
        permitted=properties.permitted,
        permit_no=properties.permit_no,
        excess_m2=properties.excess_m2,
        unsure=properties.unsure[:200] if properties.unsure else None,
        geom=one.geometry,
        lon=point.x,
        lat=point.y,
        tile=tile_of(point.x, point.y),
        cell=where.cell,
        district=where.district,
        frames=[frame.model_dump(mode="json") for frame in properties.frames],
        more={"seen": properties.seen, "looked": properties.looked, **one.more},
        content_sha256=one.content,
        drawn_by=one.drawn_by,
        version=1,
        chain_n=0,
        chain_hash=feed.GENESIS,
        created_at=utcnow(),
    )
    return row, found.platform_no


def settle(session: Session, candidate: Candidate, actor: str, platform_no: str | None, *, again: bool = False) -> None:
    """Matches the candidate to its site and decides whether anybody needs to look at it."""
    match = sites.find(session, candidate.family, candidate.geom)
    events: list[tuple[str, dict[str, Any]]] = []
    if match is None:
        site = sites.found(candidate.family, candidate.geom, candidate.area_m2)
        candidate.state = "pending"
    else:
        site = match.site
        events = _on_known_site(session, candidate, site, actor)
    candidate.site_id = site.id
    # A permit answers for what it covers; the part beyond it (excess) is still a person's to see.
    if candidate.permitted is True and not candidate.excess_m2 and candidate.state == "pending":
        candidate.state = "permitted"
    if candidate.state == "pending" and candidate.drawn_by is None and platform_no is not None:
        candidate.state, candidate.reason = "settled", "already_on_platform"
        events.append(("candidate.merged", {"into_platform_case": platform_no}))
    if candidate.state == "pending":
        site.candidate_id = candidate.id
    kind = "candidate.merged" if again else "candidate.created"
    first = {**summary(candidate), **({"why": "revised"} if again else {})}
    if match is None and not again and not events:
        store(session, site, candidate, feed.next_event(candidate, **_event(candidate, kind, actor, first)))
        return
    session.add(site)
    record(session, candidate, kind, actor, first)
    for kind, data in events:
        record(session, candidate, kind, actor, data)
    # Once for all of it; the next of a batch has to find this one's site.
    session.add(candidate)
    session.flush()


def _on_known_site(session: Session, candidate: Candidate, site: Site, actor: str) -> list[tuple[str, dict[str, Any]]]:
    # A person who draws a problem where a verdict stood is the newer word.
    stands = candidate.drawn_by is None and sites.stands(site, candidate.area_m2)
    candidate.state = "pending"
    events: list[tuple[str, dict[str, Any]]] = []
    case = session.scalar(select(Case).where(Case.id == site.case_id).with_for_update()) if site.case_id else None
    if case is not None and case.state not in ENDED:
        candidate.state, candidate.case_id = "merged", case.id
        item = {"candidate_id": candidate.id, "patrol_id": candidate.patrol_id, "area_m2": candidate.area_m2}
        cases.add_evidence(session, case, actor, {**item, "height_change_m": candidate.height_change_m})
        events.append(("candidate.merged", {"into_case": str(case.id), "number": case.number}))
    elif stands:
        candidate.state = "settled"
        events.append(("candidate.merged", {"into_site": str(site.id), "verdict": site.verdict}))
    else:
        events += _supersede(session, candidate, site, actor)
    sites.seen_again(site, candidate.geom, candidate.area_m2)
    _reinspect(session, candidate, site, actor)
    return events


def _supersede(session: Session, candidate: Candidate, site: Site, actor: str) -> list[tuple[str, dict[str, Any]]]:
    """One undecided candidate a site: the newest patrol's stands, within a patrol the first."""
    if site.candidate_id is None or site.candidate_id == candidate.id:
        return []
    older = session.scalar(select(Candidate).where(Candidate.id == site.candidate_id).with_for_update())
    if older is None or older.state not in OPEN_STATES:
        return []
    if older.patrol_id == candidate.patrol_id or older.lease_by is not None:
        candidate.state, candidate.merged_into = "merged", older.id
        return [("candidate.merged", {"into": older.id, "site_id": str(site.id)})]
    older.state, older.merged_into = "merged", candidate.id
    older.version += 1
    record(session, older, "candidate.merged", actor, {"into": candidate.id, "site_id": str(site.id)})
    return []


def _reinspect(session: Session, candidate: Candidate, site: Site, actor: str) -> None:
    """A thing still there after its case was closed: the platform hears of it, and a person looks again."""
    if candidate.state != "pending":
        return
    last = session.scalar(
        select(Case).where(Case.site_id == site.id, Case.state == "closed").order_by(Case.id.desc()).limit(1)
    )
    if last is not None:
        item = {"candidate_id": candidate.id, "patrol_id": candidate.patrol_id, "still_there": True}
        cases.add_evidence(session, last, actor, item, "case.reinspected")


def summary(candidate: Candidate) -> dict[str, Any]:
    """A candidate as events carry it."""
    return {
        "id": candidate.id,
        "patrol_id": candidate.patrol_id,
        "site_id": str(candidate.site_id) if candidate.site_id else None,
        "state": candidate.state,
        "family": candidate.family,
        "label": candidate.label,
        "probability": candidate.probability,
        "area_m2": candidate.area_m2,
        "height_change_m": candidate.height_change_m,
        "permitted": candidate.permitted,
        "permit_no": candidate.permit_no,
        "excess_m2": candidate.excess_m2,
        "lon": candidate.lon,
        "lat": candidate.lat,
        "cell": candidate.cell,
        "district": candidate.district,
        "drawn_by": candidate.drawn_by,
    }


def _event(candidate: Candidate, kind: str, actor: str, data: dict[str, Any]) -> dict[str, Any]:
    where = feed.Labels(candidate.family, candidate.district)
    return {"type": kind, "subject": candidate.id, "actor": actor, "data": data, "labels": where}


def record(session: Session, candidate: Candidate, kind: str, actor: str, data: dict[str, Any]) -> None:
    """One event on the candidate's own chain."""
    feed.append(session, candidate, **_event(candidate, kind, actor, data))


def draw(
    session: Session, patrol_id: str, family: str, label: str, geometry: BaseGeometry, note: str | None, actor: str
) -> Candidate:
    """A candidate that a person drew because the model missed it; it takes the same way as any other.

    Raises:
        NotFoundError: No such patrol.
        ConflictError: It lies on one that is already there.
    """
    if session.get(Patrol, patrol_id, with_for_update=True) is None:
        raise NotFoundError(f"no patrol {patrol_id}")
    lock_places(session, [(family, sites.search_box(geometry))])
    top = session.scalar(
        select(func.max(Candidate.n)).where(Candidate.patrol_id == patrol_id, Candidate.n >= DRAWN_FROM)
    )
    n = max(DRAWN_FROM, (top or 0) + 1)
    properties = SiteProperties(n=n, family=family, label=label, probability=1.0, area_m2=area_m2(geometry))
    text = feed.canonical({"geometry": as_geojson(geometry), "n": n, "by": actor})
    content = hashlib.sha256(text.encode()).digest()
    more = {"note": note} if note else {}
    one = Sighting(patrol_id, n, properties, geometry, properties.area_m2 or 0.0, content, more, drawn_by=actor)
    candidate, platform_no = _row(session, one)
    settle(session, candidate, actor, platform_no)
    if candidate.state == "merged":
        raise ConflictError(
            f"this outlines what is there already: {candidate.merged_into or candidate.case_id}",
            candidate_id=candidate.merged_into,
            case_id=str(candidate.case_id) if candidate.case_id else None,
        )
    return candidate
