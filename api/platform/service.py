"""Handing cases over: a row a case, retried with growing waits, never twice; and comparing what each side holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.base import utcnow
from api.cases import service as cases
from api.cases.models import Case
from api.cases.states import WITHDRAWABLE
from api.context import Context
from api.errors import ApiError, InvalidError
from api.evidence import service as evidence
from api.grid.crs import to_output
from api.platform.models import Delivery, Lookup
from api.platform.vendor import PlatformError, VendorClient

# Half a minute, then twice as long each time, an hour at most: an outage over night is over in the morning.
FIRST_WAIT_S, MOST_WAIT_S = 30.0, 3600.0
# A try that says nothing for so long was killed: longer than the client's own limits of all its calls together.
CLAIM_S = 300.0
MAX_PICTURES = 4
_PICTURE_ORDER = ("after", "before", "frame-1-overview", "frame-1-detail", "frame-2-detail")


def enqueue(session: Session, case: Case) -> None:
    """Puts a filed case on its way, in the transaction that files it."""
    statement = cases.upsert(session)(Delivery).values(
        case_id=case.id, number=case.number, state="pending", attempts=0, next_at=utcnow()
    )
    session.execute(statement.on_conflict_do_nothing())


def enqueue_missing(session: Session, limit: int = 1000) -> int:
    """Puts every filed case on its way that is not; gives how many."""
    query = (
        select(Case)
        .outerjoin(Delivery, Delivery.case_id == Case.id)
        .where(Case.state == "filed", Case.platform_no.is_(None), Delivery.case_id.is_(None))
        .limit(limit)
    )
    found = session.scalars(query).all()
    for case in found:
        enqueue(session, case)
    return len(found)


class Lookups:
    """The city's own ids, read once a run."""

    def __init__(self, session: Session) -> None:
        self._known = {(row.kind, row.ours): row.theirs for row in session.scalars(select(Lookup))}

    def get(self, kind: str, ours: str | None, *, needed: bool = True) -> str:
        """The platform's id.

        Raises:
            InvalidError: None was imported; the message names it.
        """
        found = self._known.get((kind, ours or "")) or self._known.get((kind, "*"))
        if found is None and needed:
            raise InvalidError(f"the platform's id of {kind} {ours!r} is not in the lookups: import it, then retry")
        return found or ""


def record_of(here: Context, case: Case, lookups: Lookups) -> dict[str, str]:
    """The vendor's fields of a case.

    Raises:
        InvalidError: A lookup lacks, or the case has no cell.
    """
    if not case.cell:
        raise InvalidError(f"case {case.number} has no grid cell: the platform takes none without")
    x, y = to_output(here.settings, case.lon, case.lat)
    return {
        "eventSrcID": lookups.get("source", "drone"),
        "eventGradeID": lookups.get("grade", "normal", needed=False),
        "recTypeID": "1",
        "eventTypeID": lookups.get("event_type", "event"),
        "mainTypeID": lookups.get("main_type", case.code[: len(case.code) - 3] or case.code),
        "subTypeID": lookups.get("sub_type", case.code),
        "newInstCondID": lookups.get("condition", f"{case.code}/{case.condition or ''}", needed=False),
        "eventDesc": case.description,
        "timeAreaID": lookups.get("time_area", str(case.tier or ""), needed=False),
        "address": case.address,
        "districtID": lookups.get("district", case.district),
        "streetID": lookups.get("street", case.street),
        "communityID": lookups.get("community", case.community),
        "cellID": lookups.get("cell", case.cell),
        "cellName": case.cell,
        "coordinateX": f"{x:.6f}",
        "coordinateY": f"{y:.6f}",
        "otherTaskNum": case.number,
        "reporterName": "无人机巡查中队",
    }


@dataclass(frozen=True)
class Delivered:
    """What one run did."""

    sent: int = 0
    waiting: int = 0
    failed: int = 0


def deliver(here: Context, client: VendorClient, limit: int = 100, now: Callable[[], datetime] = utcnow) -> Delivered:
    """Hands over what is due, each case in its own transactions; may run in several processes at once.

    A try is written down before the call is made. Killed between call and commit, the next run therefore knows that
    there was a call, and asks the platform for our number first: never twice.
    """
    with here.database.read() as session:
        due = select(Delivery.case_id).where(Delivery.state == "pending", Delivery.next_at <= now())
        ids = session.scalars(due.order_by(Delivery.next_at).limit(limit)).all()
        lookups = Lookups(session)
    outcomes = [_deliver_one(here, client, case_id, lookups, now) for case_id in ids]
    return Delivered(outcomes.count("sent"), outcomes.count("pending"), outcomes.count("failed"))


def _claim(here: Context, case_id: UUID, now: Callable[[], datetime]) -> tuple[Case, int] | None:
    """Takes one due case for this try; gives it with the number of tries before, None when another run has it."""
    with here.database.write() as session:
        row = session.get(Delivery, case_id, with_for_update=True)
        if row is None or row.state != "pending" or row.next_at > now():
            return None
        before = row.attempts
        row.attempts += 1
        row.next_at = now() + timedelta(seconds=CLAIM_S)
        return cases.get(session, case_id), before


def _deliver_one(
    here: Context, client: VendorClient, case_id: UUID, lookups: Lookups, now: Callable[[], datetime]
) -> str:
    claimed = _claim(here, case_id, now)
    if claimed is None:
        return "another's"
    case, tries = claimed
    if case.state not in WITHDRAWABLE:
        return _note(here, case_id, "withdrawn" if case.state == "withdrawn" else "sent", case.platform_no, None, now)
    try:
        record = record_of(here, case, lookups)
        pictures = _pictures(here, case)
        held = client.find(case.number) if tries else None
        number = held.their_no if held else client.save(record, pictures)
    except PlatformError as error:
        return _note(here, case_id, "pending" if error.again else "failed", None, str(error), now)
    except InvalidError as error:
        return _note(here, case_id, "failed", None, str(error), now)
    except (ApiError, OSError) as error:
        # The store's disk, a picture that cannot be made: this case waits, the others go on.
        return _note(here, case_id, "pending", None, f"its pictures cannot be had: {error}"[:500], now)
    return _note(here, case_id, "sent", number, None, now)


def _pictures(here: Context, case: Case) -> dict[str, bytes]:
    evidence.collect(here, case.id)
    with here.database.read() as session:
        known = {item["name"] for item in evidence.evidence_of(session, case)}
        names = [name for name in _PICTURE_ORDER if name in known][:MAX_PICTURES]
        return {name: evidence.picture(session, here, case, name) for name in names}


def _note(
    here: Context, case_id: UUID, state: str, number: str | None, error: str | None, now: Callable[[], datetime]
) -> str:
    with here.database.write() as session:
        row = session.get(Delivery, case_id, with_for_update=True)
        assert row is not None
        row.state, row.error = state, error
        row.next_at = now() + timedelta(seconds=min(FIRST_WAIT_S * 2 ** min(row.attempts - 1, 20), MOST_WAIT_S))
        if state == "sent":
            row.their_no, row.sent_at = number, now()
            case = cases.get(session, case_id, lock=True)
            if number and case.platform_no != number:
                case.platform_no = number
                case.version += 1
                data = {"number": case.number, "platform_no": number, "state": case.state, "delivered": True}
                cases.record(session, case, "case.platform", "platform-adapter", data)
    return state


def retry_failed(session: Session) -> int:
    """Puts failed deliveries on their way again (after a lookup was imported); gives how many."""
    rows = session.scalars(select(Delivery).where(Delivery.state == "failed")).all()
    for row in rows:
        row.state, row.next_at = "pending", utcnow()
    return len(rows)


@dataclass(frozen=True)
class Reconciled:
    """A day compared: what only we hold, what only they hold, whose numbers differ."""

    day: str
    both: int
    only_ours: tuple[str, ...]
    only_theirs: tuple[str, ...]
    differ: tuple[str, ...]


def reconcile(here: Context, client: VendorClient, day: date) -> Reconciled:
    """Compares a local day's filings with what the platform holds; what only we hold goes on its way again.

    Raises:
        PlatformError: It does not answer.
    """
    theirs = {held.our_no: held for held in client.list_day(day.isoformat())}
    zone = ZoneInfo(here.settings.timezone)
    start = datetime(day.year, day.month, day.day, tzinfo=zone)
    with here.database.write() as session:
        rows = session.scalars(
            select(Case).where(
                Case.filed_at >= start, Case.filed_at < start + timedelta(days=1), Case.state != "withdrawn"
            )
        ).all()
        ours = {case.number: case for case in rows}
        lost = [case for number, case in ours.items() if number not in theirs]
        for case in lost:
            enqueue(session, case)
            row = session.get(Delivery, case.id)
            if row is not None and case.state in WITHDRAWABLE:
                row.state, row.next_at = "pending", utcnow()
        differ = [
            number
            for number, held in theirs.items()
            if number in ours and ours[number].platform_no not in (None, held.their_no)
        ]
    return Reconciled(
        day.isoformat(),
        len(set(ours) & set(theirs)),
        tuple(sorted(case.number for case in lost)),
        tuple(sorted(set(theirs) - set(ours))),
        tuple(sorted(differ)),
    )


def load_lookups(session: Session, rows: list[dict[str, str]]) -> int:
    """Adds or replaces lookups {kind, ours, theirs, name?}; gives how many.

    Raises:
        InvalidError: A row lacks something.
    """
    for i, row in enumerate(rows):
        if not all(isinstance(row.get(key), str) and row[key] for key in ("kind", "ours", "theirs")):
            raise InvalidError(f"lookups[{i}] should have kind, ours and theirs")
        values = {key: row[key][:40] for key in ("kind", "ours", "theirs")} | {"name": (row.get("name") or "")[:100]}
        statement = cases.upsert(session)(Lookup).values(**values)
        changed = {"theirs": values["theirs"], "name": values["name"]}
        session.execute(statement.on_conflict_do_update(index_elements=["kind", "ours"], set_=changed))
    return len(rows)
