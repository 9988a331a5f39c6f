"""All flights of an operation as they see one another: who is in the air, and who may take off."""

from __future__ import annotations

import math

import numpy as np

from flight.foresight import HORIZON_S, Course, along_mission, homeward, sampled, stopping
from flight.intent import LAUNCH_M, doing, going_on, held
from flight.orders import distance_m, moved
from flight.sortie import SortieFlight
from flight.view import Ahead, Motion, Other

# Take-offs from pads nearer than this follow one another.
PAD_M = 35.0
# A vehicle this far above the height a take-off goes to is out of its way.
ABOVE_M = 15.0
# A vehicle that has been silent for so long cannot be told to give way.
_SILENT_S = 3.0
# Farther than two can fly towards one another within the horizon: 2 · 20 s · 15 m/s and the distance to be kept.
_FAR_M = 650.0
# Courses farther apart than this never come near: the distance to be kept, its hysteresis, a stop's length.
_REACH_M = 70.0
_M_PER_DEG = 111_320.0
# A silent one flies on by its mission, slower or faster than planned by this much (wind), or goes home by its failsafe.
_PACES = (0.8, 1.0, 1.2)
_FAILSAFE_S = 5.0
# It is not looked for where it was last seen after this long: it flew on, or came down.
_STANDS_S = 60.0
# One whose position is in doubt may be this much further away: a glitch of 45 m (the chaos benchmark's) keeps 18 m so.
_DOUBT_M = 35.0
# Seconds until a take-off's climb is over, and around when it leaves for its first lane.
_COLUMN_S, _LEAVES_S = 30.0, (6.0, 14.0)
# Side and height that a take-off keeps from where others will be: the guard's, and a guard's look more.
_ASIDE_M, _APART_M = 30.0, 13.0


class Airspace:
    """The operation's flights that are under way, in order of right of way.

    Attributes:
        flights: In order of their beginning.
        lost: Flights that are over for us while their vehicle was last seen in the air.
    """

    def __init__(self) -> None:
        self.flights: list[SortieFlight] = []
        self.lost: list[SortieFlight] = []
        self._launching: set[int] = set()
        self._drawn: dict[int, tuple[object, tuple[Ahead, ...]]] = {}

    def add(self, flight: SortieFlight) -> None:
        """A flight begins; later ones give way to earlier ones."""
        self.lost = [other for other in self.lost if other.vehicle is not flight.vehicle]
        self.flights.append(flight)

    def remove(self, flight: SortieFlight) -> None:
        """A flight has ended; one that was not seen to land stays in the air for the others."""
        self.flights.remove(flight)
        self._launching.discard(id(flight))
        self._drawn.pop(id(flight), None)
        if flight.airborne and flight.vehicle.state.armed and math.isnan(flight.landed_s):
            self.lost.append(flight)

    def others(self, flight: SortieFlight, *, all_of_them: bool = False) -> list[Other]:
        """Everybody else in the air whose way comes near that of `flight`, as it has to see them."""
        seen = []
        ways = () if all_of_them else self._aheads(flight, 0.0)
        mine, here = self._right(flight), flight.vehicle.state.position
        for other in (*self.flights, *self.lost):
            state = other.vehicle.state
            at = state.position
            if other is flight or at is None or not state.armed or not other.airborne:
                continue
            if here is not None and _roughly_m(here.lon, here.lat, at.lon, at.lat) > _FAR_M:
                continue
            # Where it is now, not where its last message said; a silent one is not guessed at for ever.
            late_s = max(0.0, state.age_s(at)) * other.vehicle.speedup
            moved_s = min(late_s, _SILENT_S)
            aheads = self._aheads(other, late_s)
            if ways and not any(ahead.doubt_m or _near(way.box, ahead.box) for way in ways for ahead in aheads):
                continue
            lon, lat = moved(at.lon, at.lat, at.east_mps * moved_s, at.north_mps * moved_s)
            seen.append(
                Other(
                    f"vehicle {other.vehicle.system_id}", lon, lat, at.alt_amsl_m - at.down_mps * moved_s,
                    at.north_mps, at.east_mps, at.down_mps, self._right(other) < mine, aheads,
                )
            )  # fmt: skip
        return seen

    def _right(self, flight: SortieFlight) -> tuple[int, float]:
        """Right of way, smaller is first: who cannot be steered, who comes home (the lower one), who began earlier."""
        state = flight.vehicle.state
        silent = state.age_s(state.position) > _SILENT_S
        rank = float(self.flights.index(flight)) if flight in self.flights else math.inf
        # A lost one may be heard again: nobody steers it any more.
        if silent or flight in self.lost or flight.watch.in_doubt or flight.helm.owner not in ("mission", "guard"):
            return 0, rank
        if flight.helm.coming_home:
            # On its last way down, or still on its way: heights alone would change places with every gust.
            low = state.position is not None and state.position.height_rel_m < flight.orders.top_rel_m - ABOVE_M
            return 1, rank - (1e3 if low else 0.0)
        return 2, rank

    # -- where they go -----------------------------------------------------------------------------------------

    def _aheads(self, other: SortieFlight, late_s: float) -> tuple[Ahead, ...]:
        """Courses that another one may be on; drawn once for each of its positions."""
        helm, at = other.helm, other.vehicle.state.position
        if late_s > _SILENT_S:
            return self._silent(other, late_s)
        key = (
            at,
            other.vehicle.state.mode,
            helm.owner,
            helm.climb_to_m,
            helm.target,
            other.watch.jumped_from,
            other.watch.in_doubt,
        )
        drawn = self._drawn.get(id(other))
        if drawn is None or drawn[0] != key:
            drawn = key, self._draw(other)
            self._drawn[id(other)] = drawn
        return tuple(ahead._replace(later_s=late_s) for ahead in drawn[1])

    def _draw(self, other: SortieFlight) -> tuple[Ahead, ...]:
        me, frame = other.watch.motion(), other.watch.sight.frame
        if me is None:
            return ()
        until_s = HORIZON_S + _SILENT_S
        # Where it jumped from is known, it is one place or the other; else it may be anywhere around.
        doubt_m = _DOUBT_M if other.watch.in_doubt and other.watch.jumped_from is None else 0.0
        aheads = [_ahead(other, doing(other.helm, me, other.policy, frame, until_s))._replace(doubt_m=doubt_m)]
        if held(other.helm):
            resumed = going_on(other.helm, me, other.policy, frame, until_s)
            aheads.append(_ahead(other, resumed)._replace(resumed=True))
        if other.watch.jumped_from is not None:
            aheads.append(_ahead(other, stopping(other.watch.jumped_from)))
        return tuple(aheads)

    def _silent(self, other: SortieFlight, late_s: float) -> tuple[Ahead, ...]:
        """Nobody knows: on along its mission, quicker or slower; on its way home; or where it was last seen."""
        me, frame = other.watch.motion(), other.watch.sight.frame
        if me is None:
            return ()
        until_s = _PACES[-1] * late_s + HORIZON_S
        course = going_on(other.helm, me, other.policy, frame, until_s)
        on = _ahead(other, course)
        aheads = [on._replace(later_s=pace * late_s) for pace in _PACES]
        if late_s > _FAILSAFE_S:
            x, y, h = sampled(course, _FAILSAFE_S)[0]
            turned = Motion(float(x), float(y), float(h), 0.0, 0.0, 0.0)
            aheads.append(
                _ahead(other, homeward(turned, other.policy.cruise_mps))._replace(later_s=late_s - _FAILSAFE_S)
            )
        if late_s < _STANDS_S:
            aheads.append(_ahead(other, stopping(me))._replace(later_s=_SILENT_S))
        return tuple(aheads)

    # -- taking off --------------------------------------------------------------------------------------------

    def clear(self, flight: SortieFlight) -> bool:
        """Whether `flight` may take off now; says yes to one of neighbours at a time."""
        mine = flight.vehicle.state.position
        if mine is None:
            return False
        for other in (*self.flights, *self.lost):
            at = other.vehicle.state.position
            if other is flight or at is None:
                continue
            here = (mine.lon, mine.lat)
            near = distance_m(here, (at.lon, at.lat)) < PAD_M and at.alt_amsl_m < mine.alt_amsl_m + LAUNCH_M + ABOVE_M
            inbound = other.helm.coming_home and distance_m(here, other.orders.sortie.home[:2]) < PAD_M
            busy = other.vehicle.state.armed or (id(other) in self._launching and math.isnan(other.landed_s))
            if busy and (near or inbound):
                return False
        if not self._way_is_free(flight):
            return False
        self._launching.add(id(flight))
        return True

    def _way_is_free(self, flight: SortieFlight) -> bool:
        """Nobody comes through the column of its climb, nor meets it on its way to the first lane."""
        me, frame = flight.watch.motion(), flight.watch.sight.frame
        others = self.others(flight, all_of_them=True)
        if me is None or not others:
            return me is not None
        top_m = max(flight.orders.takeoff_height_m, LAUNCH_M)
        at = flight.vehicle.state.position
        home_alt_m = at.alt_amsl_m - at.height_rel_m if at is not None else 0.0
        ways = [
            sampled(
                along_mission(
                    me, flight.orders.mission, 1, frame, flight.policy.cruise_mps, home_alt_m=home_alt_m,
                    wait_s=wait_s, until_s=2 * HORIZON_S,
                )
            , later_s)
            for wait_s in _LEAVES_S for later_s in (0.0, HORIZON_S)
        ]  # fmt: skip
        for other in others:
            for ahead in other.aheads:
                x, y = frame.xys(ahead.knots[:, 1], ahead.knots[:, 2])
                knots = np.column_stack([ahead.knots[:, 0], x, y, ahead.knots[:, 3] - home_alt_m])
                theirs = [sampled(knots, ahead.later_s), sampled(knots, ahead.later_s + HORIZON_S)]
                track = np.vstack(theirs)[: int(_COLUMN_S * 2)]
                aside = np.hypot(track[:, 0] - me.x, track[:, 1] - me.y) - ahead.doubt_m
                if bool(np.any((aside < _ASIDE_M) & (track[:, 2] < me.h + top_m + _APART_M))):
                    return False
                for number, way in enumerate(ways):
                    gap = theirs[number % 2] - way
                    side = np.hypot(gap[:, 0], gap[:, 1]) - ahead.doubt_m
                    if bool(np.any((side < _ASIDE_M) & (np.abs(gap[:, 2]) < _APART_M))):
                        return False
        return True


def _ahead(flight: SortieFlight, course: Course) -> Ahead:
    """A course around its own home in degrees and metres above sea level."""
    at = flight.vehicle.state.position
    home_alt_m = at.alt_amsl_m - at.height_rel_m if at is not None else 0.0
    knots = np.asarray(course, dtype=np.float64)
    lons, lats = flight.watch.sight.frame.lonlats(knots[:, 1], knots[:, 2])
    box = float(lons.min()), float(lats.min()), float(lons.max()), float(lats.max())
    return Ahead(np.column_stack([knots[:, 0], lons, lats, knots[:, 3] + home_alt_m]), box=box)


def _near(box: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    """Whether two boxes of degrees are within reach of one another."""
    up = _REACH_M / _M_PER_DEG
    aside = up / max(0.1, math.cos(math.radians(box[1])))
    return box[0] - aside < other[2] and other[0] < box[2] + aside and box[1] - up < other[3] and other[1] < box[3] + up


def _roughly_m(lon: float, lat: float, other_lon: float, other_lat: float) -> float:
    east = (other_lon - lon) * math.cos(math.radians(lat))
    return math.hypot(east, other_lat - lat) * _M_PER_DEG
