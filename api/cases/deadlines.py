"""When a case is due, by a table of (code, condition, tier)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from api.settings import ApiSettings


def due(
    session: Session, settings: ApiSettings, code: str, condition: str | None, tier: int | None, start: datetime
) -> datetime | None:
    """The deadline, or None where no rule was imported."""
    return None
