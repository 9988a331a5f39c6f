"""A brigade's sorties bargained over: cut roughly, exchanged by estimates, laid exactly, and mended until all fit.

What a loop over hills and around zones draws is known only once it is laid; each one that draws more than estimated is
told so, and the exchange goes on with that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from missions.coverage import OVERRUN_M
from missions.dealing import Line
from missions.estimate import Rates
from missions.exchange import Exchange
from missions.flying import Flown, drawn_wh, flown_loop, loop_cuts, most_stretches
from missions.frame import Array
from missions.part import Part
from missions.request import Task
from missions.roster import Crew, Roster
from missions.segments import Ownership, Segment, segments_of
from missions.shares import Cells, Limits, Share
from missions.sorties import Pieces
from missions.timetable import drive_s_per_m
from missions.tracks import Tracks

Tell = Callable[[int, int, str], None]
_SEED = 1
# Mending: rounds, and moves a sortie in each, from a temperature at which little is undone.
_MENDINGS, _MENDING_MOVES, _WARM_S = 8, 300, 2.0  # each round half as warm again: what was stuck comes loose
# Shares of the estimate within which a loop's energy is held to be its hills and detours, and is expected again.
_STRAY = (0.9, 1.3)
# Hidden ways home are looked for this much beyond the line of sight.
_BEYOND = 1.5
# A loop that cuts two lanes at home has as many stretches more.
_HOME_CUTS = 2


@dataclass(frozen=True)
class Started:
    """A sortie as it is first cut: its crew, its site (2,), and pieces of the pairs' lines."""

    crew: int
    home: Array
    pieces: Pieces


class _Hidden:
    """Metres of segments from which the straight way to a site is closed, each looked up once."""

    def __init__(self, part: Part, tracks: Tracks, sites: Array, range_m: float) -> None:
        self._part, self._tracks, self._sites, self._range_m = part, tracks, sites, range_m
        self._known: dict[tuple[int, int], list[float] | None] = {}

    def __call__(self, site: int, segment: Segment) -> list[float] | None:
        """Of a site, (n + 1) metres before each place of a segment; None: nowhere."""
        key = site, segment.number
        if key not in self._known:
            self._known[key] = self._looked_up(self._sites[site], segment)
        return self._known[key]

    def _looked_up(self, home: Array, segment: Segment) -> list[float] | None:
        at = np.array(segment.at_m)
        places = self._tracks.points(segment.track, at)
        near = np.hypot(*(places - home).T) < _BEYOND * self._range_m
        cells = np.flatnonzero(near[1:] & near[:-1])
        shut = cells[self._part.router.hidden(home[None, :], places[cells], places[cells + 1])[0]]
        if not len(shut):
            return None
        metres = np.zeros(segment.cells)
        metres[shut] = np.diff(at)[shut]
        return [0.0, *np.cumsum(metres).tolist()]


class _Bargain:
    """One part's sorties while they are bargained over."""

    def __init__(
        self, task: Task, roster: Roster, crews: Sequence[Crew], line: Line, started: list[Started], busy_s: Array
    ) -> None:
        self.task, self.part, self.tracks, self.sites = task, line.part, line.tracks, line.sites
        self._crews = crews
        segments = segments_of(line.tracks, line.part.strip)
        ownership = Ownership(line.tracks, segments)
        shares = []
        for number, one in enumerate(started):
            site = int(np.hypot(*(line.sites - one.home).T).argmin())
            shares.append(Share(number, site, one.crew, task.model.budget_wh(crews[one.crew].machine.battery_health)))
            ownership.give(one.pieces, number)
        # Spans are judged along the middles of pairs, and their lanes cut at the nearest photograph with some run-out.
        strip = line.part.strip
        range_m = roster.line_of_sight_m - strip.lane_m / 4 - strip.trigger_m / 2 - OVERRUN_M
        self.exchange = Exchange(
            segments,
            line.tracks.flat(line.sites),
            Rates.of(task.model, strip, line.tracks.direction_rad, task.request.climb_out_m),
            Limits(range_m, most_stretches(task) - _HOME_CUTS, roster.swap_s, drive_s_per_m(roster)),
            shares,
            ownership.owner,
            busy_s,
            _Hidden(line.part, line.tracks, line.sites, roster.line_of_sight_m),
        )
        self._laid: dict[tuple[int, tuple[tuple[int, int, int], ...]], Flown | None] = {}

    def _pieces(self, cells: list[Cells]) -> Pieces:
        """Cells as pieces of the pairs' lines, from one side to the other."""
        ordered = sorted(cells, key=lambda one: (one[0].track, one[1]))
        ends = [
            self.tracks.points(segment.track, np.array([segment.at_m[first], segment.at_m[last]]))
            for segment, first, last in ordered
        ]
        both = np.array(ends).reshape(-1, 2, 2)
        return Pieces(both[:, 0], both[:, 1], np.arange(len(both)))

    def laid(self, share: Share) -> Flown | None:
        """A sortie as it is flown; what was laid once is kept."""
        cells = share.cells()
        key = share.site, tuple(sorted((segment.number, first, last) for segment, first, last in cells))
        if key not in self._laid:
            home = self.sites[share.site]
            self._laid[key] = flown_loop(self.task, self.part, self.tracks, self._pieces(cells), home)
        return self._laid[key]

    def mended(self, tell: Tell) -> None:
        """Lays all sorties and goes on exchanging until none is over its battery."""
        for number in range(_MENDINGS):
            tell(number, _MENDINGS, "sorties as flown")
            over = []
            for share in self.exchange.shares:
                flown = self.laid(share) if share.spans else None
                if flown is not None:
                    drawn = drawn_wh(self.task, flown, share.limit_wh)
                    share.dearer *= float(np.clip(drawn / share.wh, *_STRAY))
                    over += [share] if drawn > share.limit_wh else []
            if not over:
                return
            self.exchange.anneal(_SEED + 1 + number, givers=over, hot_s=_WARM_S * 1.5**number, moves=_MENDING_MOVES)

    def flown(self) -> tuple[list[tuple[int, Flown]], int]:
        """Sorties with their crews, each within its battery, and how many pieces no sortie reaches."""
        found, lost = [], 0
        for share in self.exchange.shares:
            flown = self.laid(share) if share.spans else None
            if flown is not None and drawn_wh(self.task, flown, share.limit_wh) <= share.limit_wh:
                found.append((share.crew, flown))
            elif share.spans:
                halves, missed = self._parted(self._pieces(share.cells()), share)
                found += [(share.crew, half) for half in halves]
                lost += missed
        return found, lost

    def _parted(self, pieces: Pieces, share: Share) -> tuple[list[Flown], int]:
        """What one battery does not fly as two sorties or more."""
        home = self.sites[share.site]
        if len(pieces) == 1:
            length = pieces.end - pieces.start
            middle = pieces.start + length / 2
            if np.hypot(*length[0]) < 2 * self.part.strip.trigger_m:
                return [], 1
            pieces = Pieces(
                np.concatenate([pieces.start, middle]), np.concatenate([middle, pieces.end]), np.array([0, 1])
            )
        found, lost = [], 0
        half = len(pieces) // 2
        for first, last in ((0, half - 1), (half, len(pieces) - 1)):
            part = pieces.part(first, last)
            flown = flown_loop(self.task, self.part, self.tracks, part, home)
            if flown is not None and drawn_wh(self.task, flown, share.limit_wh) <= share.limit_wh:
                found.append(flown)
                continue
            more, missed = self._parted(part, share)
            found, lost = found + more, lost + missed
        return found, lost


def started(task: Task, roster: Roster, line: Line, first: int, last: int, crew: int, health: float) -> list[Started]:
    """Pieces `first`..`last` of a line cut for one crew's batteries."""
    work = line.pieces.part(first, last)
    own = line.homes[first : last + 1]
    cuts = loop_cuts(task, line.part, line.tracks, work, own, health=health, range_m=roster.line_of_sight_m)
    return [Started(crew, home, _whole(work.part(cut.first, cut.last))) for cut, home in cuts]


def _whole(pieces: Pieces) -> Pieces:
    """Pieces of one lane that follow one another as one."""
    new = np.flatnonzero(np.append(True, pieces.lane[1:] != pieces.lane[:-1]))
    last = np.append(new[1:] - 1, len(pieces) - 1)
    return Pieces(pieces.start[new], pieces.end[last], pieces.lane[new])


def bargained(
    task: Task,
    roster: Roster,
    crews: Sequence[Crew],
    line: Line,
    begun: list[Started],
    busy_s: Array,
    tell: Tell,
) -> tuple[list[tuple[int, Flown]], int]:
    """One part's sorties after the exchange, each with its crew and within its battery.

    Args:
        task: The request, read.
        roster: Who and what there is.
        crews: Made of it.
        line: The part's work.
        begun: Its sorties as first cut.
        busy_s: (crews,) what each has to do besides.
        tell: Progress.

    Returns:
        Sorties with the number of their crew, and how many pieces no battery reaches from any site.
    """
    if not begun:
        return [], 0
    bargain = _Bargain(task, roster, crews, line, begun, busy_s)
    tell(0, 1, "exchange")
    bargain.exchange.anneal(_SEED)
    bargain.mended(tell)
    return bargain.flown()
