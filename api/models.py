"""All tables in one place, for migrations and for whoever joins across slices."""

from api.auth.models import Audit, Idempotency, Token, User
from api.base import Base
from api.candidates.models import Candidate
from api.cases.models import Case, CaseCount, CaseCounter, CaseDay, CaseTile
from api.feed.models import Event, FeedEpoch
from api.grid.models import GridCell, Place
from api.jobs.models import Job
from api.patrols.models import Frame, Patrol
from api.sites.models import ForeignCase, Site

__all__ = [
    "Audit",
    "Base",
    "Candidate",
    "Case",
    "CaseCount",
    "CaseCounter",
    "CaseDay",
    "CaseTile",
    "Event",
    "FeedEpoch",
    "ForeignCase",
    "Frame",
    "GridCell",
    "Idempotency",
    "Job",
    "Patrol",
    "Place",
    "Site",
    "Token",
    "User",
]
