"""Who flies what while sorties are exchanged: sorties' shares of the lines, and what they keep to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from missions.segments import Segment

Cells = tuple[Segment, int, int]
Hidden = Callable[[int, Segment], list[float] | None]


class Span:
    """A run of cells of one segment, of one sortie."""

    __slots__ = ("first", "last", "owner", "segment")

    def __init__(self, segment: Segment, first: int, last: int, owner: int) -> None:
        self.segment, self.first, self.last, self.owner = segment, first, last, owner


class Share:
    """One sortie's work; `limit_wh` is its battery's, `dearer` what it draws over what is estimated."""

    __slots__ = ("crew", "dearer", "limit_wh", "number", "price", "seconds", "site", "spans", "wh")

    def __init__(self, number: int, site: int, crew: int, limit_wh: float) -> None:
        self.number, self.site, self.crew, self.limit_wh = number, site, crew, limit_wh
        self.dearer = 1.0
        self.spans: list[Span] = []
        self.seconds = self.wh = self.price = 0.0

    def cells(self) -> list[Cells]:
        """Its spans as plain tuples."""
        return [(span.segment, span.first, span.last) for span in self.spans]


class Gift(NamedTuple):
    """Cells `first`..`last` of a span, for another sortie."""

    taker: Share
    span: Span
    first: int
    last: int


@dataclass(frozen=True)
class Limits:
    """What sorties keep: line of sight, stretches of lanes (the controller's waypoints); what swaps and roads take."""

    range_m: float
    stretches: int
    swap_s: float
    road_s_per_m: float


def joined(cells: list[Cells], gift: Gift) -> list[Cells]:
    """A sortie's cells with more of them."""
    segment, first, last = gift.span.segment, gift.first, gift.last
    found = []
    for one in cells:
        if one[0] is segment and (one[2] == first or one[1] == last):
            first, last = min(first, one[1]), max(last, one[2])
        else:
            found.append(one)
    found.append((segment, first, last))
    return found


def parted(cells: list[Cells], gift: Gift) -> list[Cells]:
    """A sortie's cells without some of one span's."""
    segment, first, last = gift.span.segment, gift.first, gift.last
    found = []
    for one in cells:
        if one[0] is segment and one[1] <= first and last <= one[2]:
            if one[1] < first:
                found.append((segment, one[1], first))
            if last < one[2]:
                found.append((segment, last, one[2]))
        else:
            found.append(one)
    return found
