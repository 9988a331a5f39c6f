"""Sorties that give work to one another until the whole day's flight is short: annealing over who flies which lanes.

A state says which sortie flies which cells of which line (`missions.segments`), and from which site. Moves give a run
of cells to the sortie beside it on the line or across the lines, or move a sortie to another site or crew; each is
judged by the estimate of the two loops that it changes (`missions.estimate`): a second of CPU tries some 30,000.
"""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Iterable
from math import hypot

import numpy as np
from numpy.typing import NDArray

from missions.estimate import Rates, loop_m
from missions.frame import Array
from missions.segments import Segment
from missions.shares import Cells, Gift, Hidden, Limits, Share, Span, joined, parted

# Temperatures (seconds of flight) at the first and the last move.
_HOT_S, _COLD_S = 40.0, 0.5
_MOVES_PER_SORTIE = 2000
# Seconds that a watt-hour over the battery counts, at the first and the last move.
_OVER_S_PER_WH = (20.0, 1500.0)
_STRICT_AT = 0.8
# What a battery's worth of sorties costs beside flight: root-shaped, so that a nearly empty one gives its last away.
_HUNGER_S = 60.0
# A metre out of sight (where nobody sees: farther than from the nearest site); a metre flown where the straight way
# home is closed.
_BEYOND_S_PER_M, _HIDDEN_S_PER_M = (0.7, 3.0), 0.4
# What a second on the road counts: crews' shifts have room for it, but not for much.
_ROAD_SHARE = 0.3
# What a second counts by which a crew is busier than the mean one.
_LATE_SHARE = 0.15
_STRETCH_TOO_MANY_S = 100.0
_NEAR_SITES = 5
# Shares of moves: to another site, to another crew; of the others, along the line instead of across.
_SHARE_SITE, _SHARE_CREW, _SHARE_ALONG = 0.08, 0.02, 0.55
# A gift that makes its taker so many temperatures dearer than the whole giver is not weighed further.
_HOPELESS = 8.0
_STAGES = 60


class Exchange:
    """The state of the search.

    Args:
        segments: Lines to fly.
        sites: (m, 2) along and across the lanes.
        rates: Of a loop.
        limits: What sorties keep.
        shares: Sorties, numbered from 0, without spans yet.
        owner: Of each segment, the sortie of each cell; -1 where nobody flies.
        busy_s: (crews,) what each crew has to do besides.
        hidden: Of a site and a segment: (n + 1) metres before each place from which the straight way home is closed.
    """

    def __init__(
        self,
        segments: list[Segment],
        sites: Array,
        rates: Rates,
        limits: Limits,
        shares: list[Share],
        owner: Iterable[NDArray[np.int64]],
        busy_s: Array,
        hidden: Hidden,
    ) -> None:
        self.shares, self.rates, self.limits, self.hidden = shares, rates, limits, hidden
        self.sites = [(float(x), float(y)) for x, y in sites]
        self._site_places = sites
        self._near: dict[tuple[int, int], list[int]] = {}
        self._reach_m = [_reach(segment, sites, limits.range_m) for segment in segments]
        gap = sites[:, None, :] - sites[None, :, :]
        self._road_s = (limits.road_s_per_m * np.hypot(gap[..., 0], gap[..., 1])).tolist()
        self._over_s, self._beyond_s = _OVER_S_PER_WH[0], _BEYOND_S_PER_M[0]
        self._lines: list[list[Span]] = []
        self._tracks: dict[int, list[Segment]] = {}
        for segment, whose in zip(segments, owner, strict=True):
            self._tracks.setdefault(segment.track, []).append(segment)
            change = np.flatnonzero(np.diff(whose)) + 1
            bounds = [0, *change.tolist(), segment.cells]
            line = [Span(segment, a, b, int(whose[a])) for a, b in itertools.pairwise(bounds)]
            self._lines.append(line)
            for span in line:
                if span.owner >= 0:
                    shares[span.owner].spans.append(span)
        self.busy_s = [float(value) for value in busy_s]
        for share in shares:
            share.seconds, share.wh, share.price = self._weighed(share, share.site, share.cells())
            self.busy_s[share.crew] += share.seconds
        self._used: list[Counter[int]] = [Counter() for _ in self.busy_s]
        for share in shares:
            self._used[share.crew][share.site] += 1

    def _weighed(self, share: Share, site: int, cells: list[Cells]) -> tuple[float, float, float]:
        """Seconds with the swap, energy, and the price that moves are judged by, of a sortie with other work."""
        if not cells:
            return 0.0, 0.0, 0.0
        x, y = self.sites[site]
        limits, rates = self.limits, self.rates
        lanes_m = odd_m = fine_s = 0.0
        stretches = 0
        spans = []
        for segment, first, last in cells:
            a, b = segment.at_m[first], segment.at_m[last]
            spans.append((segment.across_m, a, b))
            lanes_m += segment.lanes_m[last] - segment.lanes_m[first]
            odd_m += segment.odd_m[last] - segment.odd_m[first]
            stretches += segment.stretches(first, last)
            aside, reach = segment.across_m - y, self._reach_m[segment.number]
            beyond_m = max(hypot(aside, a - x) - reach[first], 0.0) + max(hypot(aside, b - x) - reach[last], 0.0)
            if beyond_m > 0.0:
                fine_s += self._beyond_s * beyond_m
            shut = self.hidden(site, segment)
            if shut is not None:
                fine_s += _HIDDEN_S_PER_M * (shut[last] - shut[first])
        beside_s = rates.beside_lanes_s(loop_m(x, y, spans), stretches, odd_m)
        wh = share.dearer * rates.energy_wh(lanes_m, beside_s)
        if stretches > limits.stretches:
            fine_s += _STRETCH_TOO_MANY_S * (stretches - limits.stretches)
        if wh > share.limit_wh:
            fine_s += self._over_s * (wh - share.limit_wh)
        beside_s += rates.fixed_s
        hunger_s = _HUNGER_S * math.sqrt(min(wh / share.limit_wh, 1.0))
        return lanes_m / rates.speed_mps + beside_s + limits.swap_s, wh, beside_s + fine_s + hunger_s

    def _late_s(self, changes: dict[int, float]) -> float:
        """What crews' changed times add for those that are busier than the others."""
        level_s = self._level_s
        return _LATE_SHARE * sum(
            max(self.busy_s[crew] + change - level_s, 0.0) - max(self.busy_s[crew] - level_s, 0.0)
            for crew, change in changes.items()
        )

    def _accepts(self, worse_s: float, heat_s: float) -> bool:
        return worse_s <= 0.0 or self._random() < math.exp(-worse_s / heat_s)

    def _move_site(self, share: Share, heat_s: float) -> None:
        """Tries another site for a sortie, one of those nearest to one of its spans."""
        span = share.spans[int(self._random() * len(share.spans))]
        site = self._sites_near(span)[int(self._random() * _NEAR_SITES) % len(self.sites)]
        if site == share.site:
            return
        seconds, wh, price = self._weighed(share, site, share.cells())
        road_s = self._detour_s(share, share.crew, site) - self._detour_s(share, share.crew, share.site)
        change_s = seconds - share.seconds + road_s
        worse_s = price - share.price + _ROAD_SHARE * road_s + self._late_s({share.crew: change_s})
        if self._accepts(worse_s, heat_s):
            self.busy_s[share.crew] += change_s
            self._used[share.crew].subtract([share.site])
            self._used[share.crew][site] += 1
            share.site, share.seconds, share.wh, share.price = site, seconds, wh, price

    def _detour_s(self, share: Share, crew: int, site: int) -> float:
        """What a crew drives more for this sortie's site: as far as to the nearest of its other sites."""
        own = share.site if share.crew == crew else -1
        nearest = math.inf
        for other, count in self._used[crew].items():
            if count - (other == own) > 0:
                nearest = min(nearest, self._road_s[site][other])
        return nearest if nearest < math.inf else 0.0

    def _move_crew(self, share: Share, heat_s: float) -> None:
        """Tries to hand a sortie to the crew of one beside it."""
        gift = self._offer(share)
        if gift is None or gift.taker.crew == share.crew:
            return
        crew, limit_wh = share.crew, share.limit_wh
        share.limit_wh = gift.taker.limit_wh
        seconds, wh, price = self._weighed(share, share.site, share.cells())
        left_s, come_s = self._detour_s(share, crew, share.site), self._detour_s(share, gift.taker.crew, share.site)
        changes = {crew: -share.seconds - left_s, gift.taker.crew: seconds + come_s}
        worse_s = price - share.price + _ROAD_SHARE * (come_s - left_s) + self._late_s(changes)
        if self._accepts(worse_s, heat_s):
            self._used[crew].subtract([share.site])
            self._used[gift.taker.crew][share.site] += 1
            for number, change_s in changes.items():
                self.busy_s[number] += change_s
            share.crew, share.seconds, share.wh, share.price = gift.taker.crew, seconds, wh, price
        else:
            share.limit_wh = limit_wh

    def _sites_near(self, span: Span) -> list[int]:
        middle = (span.first + span.last) // 2
        key = span.segment.number, middle // 8
        if key not in self._near:
            gap = self._site_places - np.array([span.segment.at_m[middle], span.segment.across_m])
            self._near[key] = np.argsort(np.hypot(gap[:, 0], gap[:, 1]), kind="stable")[:_NEAR_SITES].tolist()
        return self._near[key]

    def _beside(self, share: Share, span: Span) -> tuple[Share, int, int] | None:
        """Who may get which cells at one end of a span: the sortie that goes on there."""
        rand = self._random
        line = self._lines[span.segment.number]
        at = line.index(span)
        left = rand() < 0.5
        other = at - 1 if left else at + 1
        if not 0 <= other < len(line) or line[other].owner < 0:
            return None
        taker = self.shares[line[other].owner]
        whole, kind = span.last - span.first, rand()
        if kind < 0.3:
            count = whole
        elif kind < 0.7:
            count = min(whole, 1 - int(4.0 * math.log(1.0 - rand())))
        else:
            place = self._worth(share if rand() < 0.5 else taker, span.segment)
            count = place - span.first if left else span.last - place
            if not 0 < count < whole:
                return None
        return (taker, span.first, span.first + count) if left else (taker, span.last - count, span.last)

    def _worth(self, share: Share, segment: Segment) -> int:
        """A place where a cut may be worth it: where home is nearest, or where another span of the sortie ends."""
        if self._random() < 0.3:
            return self._place(segment, self.sites[share.site][0])
        span = share.spans[int(self._random() * len(share.spans))]
        return self._place(segment, span.segment.at_m[span.first if self._random() < 0.5 else span.last])

    @staticmethod
    def _place(segment: Segment, along_m: float) -> int:
        at = segment.at_m
        if len(at) < 4:
            return 0 if along_m <= (at[0] + at[-1]) / 2 else len(at) - 1
        place = round((along_m - at[1]) / (at[2] - at[1])) + 1
        return min(max(place, 0), len(at) - 1)

    def _across(self, share: Share, span: Span) -> tuple[Share, int, int] | None:
        """Who may get which cells of a span: a sortie on the next line, as far as it goes there."""
        rand, segment = self._random, span.segment
        a, b = segment.at_m[span.first], segment.at_m[span.last]
        found = [
            other
            for line in self._tracks.get(segment.track + (1 if rand() < 0.5 else -1), [])
            if line.at_m[0] < b and line.at_m[-1] > a
            for other in self._lines[line.number]
            if other.owner >= 0 and other.owner != share.number
            if other.segment.at_m[other.first] < b and other.segment.at_m[other.last] > a
        ]
        if not found:
            return None
        other = found[int(rand() * len(found))]
        first, last, kind = span.first, span.last, rand()
        if kind > 0.6:
            first = max(first, self._place(segment, other.segment.at_m[other.first]))
        if kind > 0.7 or 0.5 < kind < 0.6:
            last = min(last, self._place(segment, other.segment.at_m[other.last]))
        first = span.first if first - span.first < 2 else first
        last = span.last if span.last - last < 2 else last
        return (self.shares[other.owner], first, last) if first < last else None

    def _offer(self, giver: Share) -> Gift | None:
        """Cells of a sortie, and who may get them."""
        span = giver.spans[int(self._random() * len(giver.spans))]
        found = (self._beside if self._random() < _SHARE_ALONG else self._across)(giver, span)
        return None if found is None or found[0] is giver else Gift(found[0], span, found[1], found[2])

    def _give(self, giver: Share, heat_s: float) -> None:
        """Tries to give some cells of a sortie to another."""
        gift = self._offer(giver)
        if gift is None:
            return
        taker = gift.taker
        more = self._weighed(taker, taker.site, joined(taker.cells(), gift))
        if more[2] - taker.price > giver.price + _HOPELESS * heat_s:  # more than all that the giver could save
            return
        less = self._weighed(giver, giver.site, parted(giver.cells(), gift))
        changes = {giver.crew: less[0] - giver.seconds}
        changes[taker.crew] = changes.get(taker.crew, 0.0) + more[0] - taker.seconds
        worse_s = more[2] + less[2] - taker.price - giver.price + self._late_s(changes)
        if self._accepts(worse_s, heat_s):
            for crew, change_s in changes.items():
                self.busy_s[crew] += change_s
            giver.seconds, giver.wh, giver.price = less
            taker.seconds, taker.wh, taker.price = more
            self._hand_over(gift)
            if not giver.spans:
                self._used[giver.crew].subtract([giver.site])

    def _hand_over(self, gift: Gift) -> None:
        """Changes the owner of some cells of a span, and joins spans of one owner."""
        span, first, last, taker = gift.span, gift.first, gift.last, gift.taker
        line = self._lines[span.segment.number]
        at = line.index(span)
        cuts = [(span.first, first, span.owner), (first, last, taker.number), (last, span.last, span.owner)]
        pieces = [Span(span.segment, a, b, owner) for a, b, owner in cuts if a < b]
        line[at : at + 1] = pieces
        self.shares[span.owner].spans.remove(span)
        for piece in pieces:
            self.shares[piece.owner].spans.append(piece)
        index = max(at - 1, 0)
        while index < len(line) - 1 and index <= at + len(pieces):
            here, following = line[index], line[index + 1]
            if here.owner == following.owner and here.owner >= 0:
                here.last = following.last
                self.shares[here.owner].spans.remove(following)
                del line[index + 1]
            else:
                index += 1

    def anneal(
        self, seed: int, *, givers: list[Share] | None = None, hot_s: float | None = None, moves: int | None = None
    ) -> None:
        """Searches, from hot to cold.

        Args:
            seed: Of all that is drawn.
            givers: Whose work is given away, strictly within batteries from the start; None: everybody's.
            hot_s: First temperature.
            moves: Tried for each of the givers.
        """
        generator = random.Random(seed)
        self._random = generator.random
        self._level_s = sum(self.busy_s) / max(len(self.busy_s), 1)
        hot_s = hot_s or _HOT_S
        chosen = self.shares if givers is None else givers
        count = (moves or _MOVES_PER_SORTIE) * len(chosen)
        for number in range(count):
            if number % (count // _STAGES + 1) == 0:
                done = number / count
                heat_s = hot_s * (_COLD_S / hot_s) ** done
                strict = min(done / _STRICT_AT, 1.0) if givers is None else 1.0
                self._over_s = _between(_OVER_S_PER_WH, strict)
                self._beyond_s = _between(_BEYOND_S_PER_M, strict)
                self._level_s = sum(self.busy_s) / len(self.busy_s)
                self._weigh_again()
            share = chosen[int(generator.random() * len(chosen))]
            if not share.spans:
                continue
            kind = generator.random()
            if kind < _SHARE_SITE:
                self._move_site(share, heat_s)
            elif kind < _SHARE_SITE + _SHARE_CREW:
                self._move_crew(share, heat_s)
            else:
                self._give(share, heat_s)

    def _weigh_again(self) -> None:
        for share in self.shares:
            share.seconds, share.wh, share.price = self._weighed(share, share.site, share.cells())


def _between(ends: tuple[float, float], share: float) -> float:
    """From the first to the last in equal ratios."""
    return ends[0] * (ends[1] / ends[0]) ** share


def _reach(segment: Segment, sites: Array, range_m: float) -> list[float]:
    """(n + 1) how far from a segment's places their sorties may take off: in sight, or from the nearest site."""
    places = np.column_stack([segment.at_m, np.full(segment.cells + 1, segment.across_m)])
    gap = places[:, None, :] - sites[None, :, :]
    return [float(away) for away in np.maximum(np.hypot(gap[..., 0], gap[..., 1]).min(axis=1), range_m)]
