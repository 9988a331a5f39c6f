"""All tables in one place, for migrations and for whoever joins across slices."""

from api.auth.models import Audit, Idempotency, OidcLogin, Token, User
from api.base import Base
from api.candidates.models import Candidate
from api.cases.models import Case, CaseCount, CaseCounter, CaseDay, CaseTile
from api.cases.tables import Code, CodeRule, Condition, Deadline, Holiday
from api.evidence.models import CaseEvidence, Evidence, MerkleRoot
from api.feed.models import Event, FeedEpoch
from api.grid.models import GridCell, Place
from api.jobs.models import Job
from api.patrols.models import Frame, Patrol
from api.platform.models import Delivery, Lookup
from api.review.models import GoldAnswer, GoldItem
from api.sites.models import ForeignCase, Site

__all__ = [
    "Audit",
    "Base",
    "Candidate",
    "Case",
    "CaseCount",
    "CaseCounter",
    "CaseDay",
    "CaseEvidence",
    "CaseTile",
    "Code",
    "CodeRule",
    "Condition",
    "Deadline",
    "Delivery",
    "Event",
    "Evidence",
    "FeedEpoch",
    "ForeignCase",
    "Frame",
    "GoldAnswer",
    "GoldItem",
    "GridCell",
    "Holiday",
    "Idempotency",
    "Job",
    "Lookup",
    "MerkleRoot",
    "OidcLogin",
    "Patrol",
    "Place",
    "Site",
    "Token",
    "User",
]
