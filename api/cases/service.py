"""Filing, the platform's write-back, evidence, withdrawal: each one transaction, one event, one projection."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from api.base import iso, utcnow
from api.candidates.models import Candidate
from api.cases import deadlines
from api.cases.codes import Classified, classify
from api.cases.forms import form as form
from api.cases.models import Case, CaseCount, CaseCounter, CaseDay, CaseTile
from api.cases.states import ENDED, STATES, WITHDRAWABLE, may_follow
from api.database import is_postgres
from api.errors import ConflictError, InvalidError, NotFoundError
from api.feed import service as feed
from api.grid.service import Where, locate
from api.ids import uuid7
from api.platform.models import Delivery
from api.settings import ApiSettings
from api.sites.models import Site
from api.sites.service import give_verdict

_SHARDS = 16
# 不予受理, 回退, 作废: the platform says why, and the reviewer hears it.
REASONED = ("refused", "returned", "voided")
# Whose word a verdict is that followed from the platform's refusal.
PLATFORM_VERDICT = "platform"


def upsert(session: Session) -> Any:
    """The dialect's INSERT with ON CONFLICT; the one statement that SQLAlchemy keeps apart."""
    return pg_insert if is_postgres(session) else sqlite_insert


def next_number(session: Session, settings: ApiSettings, moment: datetime) -> str:
    """LY-WRJ-yyyyMMdd-NNNNN by the local date; the counter's row is locked until commit, so there are no holes."""
    day = moment.astimezone(ZoneInfo(settings.timezone)).date()
    statement = upsert(session)(CaseCounter).values(day=day, last=1)
    statement = statement.on_conflict_do_update(index_elements=["day"], set_={"last": CaseCounter.last + 1})
    number = session.scalar(statement.returning(CaseCounter.last))
    return f"{settings.number_prefix}-{day:%Y%m%d}-{number:05d}"


def count(session: Session, case: Case, state: str, by: int) -> None:
    """Moves the rollup by one case."""
    statement = upsert(session)(CaseCount).values(
        district=case.district or "",
        family=case.family,
        code=case.code,
        state=state,
        shard=_shard(session),
        n=by,
    )
    keys = ["district", "family", "code", "state", "shard"]
    session.execute(statement.on_conflict_do_update(index_elements=keys, set_={"n": CaseCount.n + by}))
    if by > 0:
        tile = upsert(session)(CaseTile).values(state=state, family=case.family, tile=case.tile)
        session.execute(tile.on_conflict_do_nothing())


def _shard(session: Session) -> int:
    return random.randrange(_SHARDS) if is_postgres(session) else 0


def count_day(session: Session, settings: ApiSettings, case: Case) -> None:
    """Counts a filing on its local day."""
    day = case.filed_at.astimezone(ZoneInfo(settings.timezone)).date()
    statement = upsert(session)(CaseDay).values(
        day=day, district=case.district or "", family=case.family, shard=_shard(session), n=1
    )
    keys = ["day", "district", "family", "shard"]
    session.execute(statement.on_conflict_do_update(index_elements=keys, set_={"n": CaseDay.n + 1}))


@dataclass(frozen=True)
class Filing:
    """What a person adds to a candidate when it is filed."""

    reviewer: str
    address: str
    description: str | None = None
    code: str | None = None
    condition: str | None = None


def file_case(session: Session, settings: ApiSettings, candidate: Candidate, site: Site | None, filing: Filing) -> Case:
    """Makes the case of an accepted candidate: number, codes, cell, deadline, event `case.filed`.

    Raises:
        InvalidError: No address, or a code that the active code set does not know.
    """
    if not filing.address.strip():
        raise InvalidError("no address, no filing: give 位置描述")
    now = utcnow()
    where = locate(session, candidate.lon, candidate.lat)
    coded = classify(session, candidate.family, candidate.label, filing.code, filing.condition)
    case = _row(candidate, filing, where, coded, now)
    case.number = next_number(session, settings, now)
    case.deadline_at = deadlines.due(session, settings, coded.code, coded.condition, where.tier, now)
    candidate.case_id = case.id
    if site is not None:
        case.site_id, site.case_id = site.id, case.id
    count(session, case, case.state, +1)
    count_day(session, settings, case)
    data = {**form(case), "candidate_hash": candidate.chain_hash.hex()}
    record(session, case, "case.filed", filing.reviewer, data)
    session.add(case)
    session.flush()
    if settings.vendor_url:
        # Its row is committed with the case: no filing is forgotten on its way to the platform.
        statement = upsert(session)(Delivery).values(
            case_id=case.id, number=case.number, state="pending", attempts=0, next_at=now
        )
        session.execute(statement.on_conflict_do_nothing())
    return case


def _row(candidate: Candidate, filing: Filing, where: Where, coded: Classified, now: datetime) -> Case:
    description = filing.description or describe(candidate, coded)
    return Case(
        id=uuid7(),
        candidate_id=candidate.id,
        patrol_id=candidate.patrol_id,
        state="filed",
        family=candidate.family,
        label=candidate.label,
        code_set=coded.code_set,
        code=coded.code,
        condition=coded.condition,
        geom=candidate.geom,
        lon=candidate.lon,
        lat=candidate.lat,
        tile=candidate.tile,
        cell=where.cell,
        district=where.district,
        street=where.street,
        community=where.community,
        tier=where.tier,
        address=filing.address.strip()[:256],
        description=description[:500],
        area_m2=candidate.area_m2,
        height_change_m=candidate.height_change_m,
        probability=candidate.probability,
        model=(candidate.more or {}).get("model"),
        reviewer=filing.reviewer,
        seen_at=candidate.created_at,
        filed_at=now,
        evidence=[],
        version=1,
        chain_n=0,
        chain_hash=feed.GENESIS,
    )


def describe(candidate: Candidate, coded: Classified) -> str:
    """问题描述, as a collector would write it."""
    parts = [f"无人机巡查发现疑似{coded.name}"]
    if candidate.area_m2:
        parts.append(f"面积约{candidate.area_m2:.0f}平方米")
    if candidate.height_change_m is not None and abs(candidate.height_change_m) >= 0.5:
        parts.append(f"较上期高度变化约{candidate.height_change_m:+.1f}米")
    if candidate.excess_m2:
        parts.append(f"超出许可范围约{candidate.excess_m2:.0f}平方米")
    return "，".join(parts) + "。"


def labels(case: Case) -> feed.Labels:
    """What the feed is filtered by."""
    return feed.Labels(case.family, case.district, case.code)


def record(session: Session, case: Case, kind: str, actor: str, data: dict[str, Any]) -> None:
    """One event on the case's own chain."""
    feed.append(session, case, type=kind, subject=str(case.id), actor=actor, data=data, labels=labels(case))


def get(session: Session, case_id: UUID, districts: tuple[str, ...] = (), *, lock: bool = False) -> Case:
    """One case within the reader's districts.

    Raises:
        NotFoundError: None such, or outside.
    """
    query = select(Case).where(Case.id == case_id)
    case = session.scalar(query.with_for_update() if lock else query)
    if case is None or (districts and case.district not in districts):
        raise NotFoundError(f"no case {case_id}")
    return case


@dataclass(frozen=True)
class WriteBack:
    """What the platform says of a case."""

    state: str
    platform_no: str | None = None
    reason: str | None = None
    at: datetime | None = None
    operator: str | None = None


def write_back(session: Session, case: Case, said: WriteBack, actor: str) -> bool:
    """Takes the platform's status; False when it is what we hold already (their retry).

    Raises:
        InvalidError: No such state, or 不予受理 and 回退 without a reason.
        ConflictError: The case has ended.
    """
    if said.state not in STATES or not may_follow("filed", said.state):
        raise InvalidError(f"state {said.state[:40]!r} is not the platform's to write: see GET /api/v1/codes/states")
    if said.state in REASONED and not (said.reason or "").strip():
        raise InvalidError(f"{STATES[said.state]} needs a reason: it goes back to the reviewer")
    if case.state == said.state and case.platform_no == (said.platform_no or case.platform_no):
        if (said.reason or case.platform_reason) == case.platform_reason:
            return False
    elif not may_follow(case.state, said.state):
        raise ConflictError(
            f"case {case.number} is {STATES[case.state]}; {STATES[said.state]} cannot follow", state=case.state
        )
    before = case.state
    move(session, case, said.state)
    case.platform_no = said.platform_no or case.platform_no
    case.platform_reason = said.reason or None
    case.platform_at = said.at or utcnow()
    data = {
        "number": case.number,
        "before": before,
        "state": case.state,
        "platform_no": case.platform_no,
        "reason": said.reason,
        "operator": said.operator,
        "at": iso(case.platform_at),
    }
    record(session, case, "case.platform", actor, data)
    _tell_reviewer(session, case, said)
    if case.state in ENDED:
        _release_site(session, case)
    elif before in ENDED:
        _hold_site_again(session, case)
    return True


def _tell_reviewer(session: Session, case: Case, said: WriteBack) -> None:
    """The reason goes back to the candidate: into its reviewer's list, and to what is learnt from reviews."""
    reason = said.reason if case.state in REASONED else None
    candidate = session.scalar(select(Candidate).where(Candidate.id == case.candidate_id).with_for_update())
    if candidate is not None and candidate.platform_reason != reason:
        candidate.platform_reason = reason
        candidate.version += 1


def _hold_site_again(session: Session, case: Case) -> None:
    """回退 reopens an ended case: new evidence is its own again, and raises no second case."""
    site = session.scalar(select(Site).where(Site.id == case.site_id).with_for_update())
    if site is not None and site.case_id is None:
        site.case_id = case.id
        if site.verdict_by == PLATFORM_VERDICT:
            give_verdict(site, None, None, None)


def move(session: Session, case: Case, state: str) -> None:
    """Changes the state and the rollup with it."""
    if state != case.state:
        # Ascending order of states, so that two movers lock the rollup's rows in the same order.
        for key, by in sorted([(case.state, -1), (state, +1)]):
            count(session, case, key, by)
        case.state = state
    case.version += 1


def _release_site(session: Session, case: Case) -> None:
    """An ended case no longer answers for its site: the next sighting is looked at again, but for a refusal."""
    site = session.scalar(select(Site).where(Site.case_id == case.id).with_for_update())
    if site is None:
        return
    site.case_id = None
    if case.state in REASONED and site.verdict is None:
        # The platform knows of the thing and has decided: until it grows, nobody reviews it again every morning.
        give_verdict(site, "already_on_platform", case.area_m2 or site.area_m2, PLATFORM_VERDICT)


def add_evidence(session: Session, case: Case, actor: str, item: dict[str, Any], kind: str = "case.evidence") -> None:
    """New evidence for a case: before 立案 it joins the form, after it is 补充附件."""
    from api.cases.states import REGISTERED

    entry = {**item, "as": "attachment" if case.state in REGISTERED else "form", "at": iso(utcnow())}
    case.evidence = [*case.evidence, entry]
    case.version += 1
    record(session, case, kind, actor, {"number": case.number, "state": case.state, **entry})


def withdraw(session: Session, case: Case, actor: str, reason: str) -> None:
    """Takes a case back before the platform has taken it up.

    Raises:
        ConflictError: The platform has.
    """
    if case.state not in WITHDRAWABLE:
        raise ConflictError(
            f"case {case.number} is {STATES[case.state]}: the platform has taken it up; ask it to void the case",
            state=case.state,
        )
    move(session, case, "withdrawn")
    record(session, case, "case.withdrawn", actor, {"number": case.number, "reason": reason})
    _release_site(session, case)
