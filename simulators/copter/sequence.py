"""AUTO: a mission flown item by item, as ArduCopter does it.

Navigation items are flown one after another; the DO items behind one are carried out when it is reached, before the leg
to the next begins; a CONDITION item holds back the DO items behind it. Item 0 is home and is not flown.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from simulators.copter import items as it
from simulators.copter.items import Item
from simulators.copter.modes import Descent, Return
from simulators.copter.pilot import INFO, LAND, Pilot
from simulators.copter.trajectory import Limits, Vector

NOT_STARTED, ACTIVE, PAUSED, COMPLETE = 2, 3, 4, 5
_FLOWS_INTO = frozenset((it.WAYPOINT, it.SPLINE_WAYPOINT, it.LOITER_UNLIMITED, it.LOITER_TIME))
_CIRCLE_RATE_RPS = math.radians(20)
_CIRCLE_RADIUS_M = 10.0
_JUMPS_IN_A_ROW = 50


class Sequence:
    """The AUTO mode.

    Attributes:
        index: Item being flown, 0 before the first.
        state: NOT_STARTED, ACTIVE, PAUSED (another mode flies) or COMPLETE.
        plan: Gives the stored mission.
        act: Carries out a DO item.
        reached: Called with the number of an item that was reached.
    """

    def __init__(self, plan: Callable[[], list[Item]], act: Callable[[Item], None], reached: Callable[[int], None]):
        self.plan, self.act, self.reached = plan, act, reached
        self.index = 0
        self.state = NOT_STARTED
        self.started = False
        self._item: Item | None = None
        self._wait_s = 0.0
        self._arrived = False
        self._angle = 0.0
        self._pending: list[Item] = []
        self._condition: Callable[[], bool] | None = None
        self._jumps: dict[int, int] = {}
        self._next_nav: int | None = None
        self._ahead: tuple[list[Item], int | None] = ([], None)
        self._descent = Descent()
        self.home_run = Return()
        self._phase = ""

    # What others ask of it.

    def enter(self, pilot: Pilot) -> str | None:
        """AUTO is entered."""
        plan = self.plan()
        if len(plan) < 2:
            return "Mode change to AUTO failed: no mission"
        first = self._seek(1)
        if pilot.landed and first is not None and self._starting_index() <= first and plan[first].command != it.TAKEOFF:
            return "Auto: Missing Takeoff Cmd"
        self.started = not pilot.landed
        if self.started:
            self._begin_or_resume(pilot)
        return None

    def launch(self, pilot: Pilot) -> bool:
        """MISSION_START: leaves the ground if that is where it is."""
        if not pilot.armed or len(self.plan()) < 2:
            return False
        if not self.started:
            self.started = True
            self._begin_or_resume(pilot)
        return True

    def pause(self) -> None:
        """Another mode takes over."""
        if self.state == ACTIVE:
            self.state = PAUSED

    def select(self, pilot: Pilot, index: int, *, flying: bool) -> bool:
        """MISSION_SET_CURRENT: goes on with an item, at once where AUTO flies."""
        if not 0 <= index < max(1, len(self.plan())):
            return False
        index = max(1, index)
        self._jumps.clear()
        if flying and self.started:
            self._begin(pilot, index)
        else:
            self.index = index
            self.state = PAUSED if index > 1 else NOT_STARTED
        return True

    def rewind(self) -> None:
        """A new mission has come, or the vehicle was rebooted: begin with the first item."""
        self.index, self.state, self.started, self._item = 0, NOT_STARTED, False, None
        self._jumps.clear()

    def distance_m(self, pilot: Pilot) -> float:
        """Level distance to where it is going."""
        return math.dist(pilot.at[:2], pilot.track.destination[:2])

    # Flying.

    def step(self, pilot: Pilot, dt_s: float) -> None:
        """One step of AUTO."""
        if not self.started or self._item is None:
            if pilot.landed:
                pilot.body.idle(dt_s)
            else:
                pilot.fly_track(dt_s)
            return
        self._run_pending(pilot)
        item = self._item
        if self.state == COMPLETE:
            self._after_the_end(pilot, dt_s)
        elif item.command == it.RETURN_TO_LAUNCH:
            self._return(pilot, dt_s)
        elif item.command == it.LAND:
            self._land(pilot, dt_s)
        else:
            self._fly_item(pilot, item, dt_s)

    def _fly_item(self, pilot: Pilot, item: Item, dt_s: float) -> None:
        if item.command == it.LOITER_TURNS and self._arrived:
            self._circle(pilot, item, dt_s)
        else:
            pilot.fly_track(dt_s)
        if not self._arrived and pilot.track.done:
            near = math.dist(pilot.at, pilot.track.destination) < max(pilot.parameters["WPNAV_RADIUS"] / 100, 0.5)
            self._arrived = pilot.track.flows or near
        if self._arrived:
            self._wait_s -= dt_s
            if self._wait_s <= 0 and item.command != it.LOITER_UNLIMITED:
                self._finish(pilot)

    def _circle(self, pilot: Pilot, item: Item, dt_s: float) -> None:
        centre = pilot.place_of(item)
        radius = abs(item.p3) or _CIRCLE_RADIUS_M
        turn = math.copysign(_CIRCLE_RATE_RPS, item.p3 if item.p3 else 1.0)
        self._angle += turn * dt_s
        place = (centre[0] + radius * math.cos(self._angle), centre[1] + radius * math.sin(self._angle), centre[2])
        pilot.hold(place, dt_s)

    def _land(self, pilot: Pilot, dt_s: float) -> None:
        if pilot.landed:
            pilot.body.idle(dt_s)
            self._finish_landing(pilot)
        elif self._phase == "fly":
            pilot.fly_track(dt_s)
            if pilot.track.done and math.dist(pilot.at[:2], pilot.track.destination[:2]) < 2.0:
                self._phase = "descend"
                self._descent.begin(pilot.track.destination)
        elif self._descent.step(pilot, dt_s):
            pilot.landed = True

    def _return(self, pilot: Pilot, dt_s: float) -> None:
        if pilot.landed:
            pilot.body.idle(dt_s)
            self._finish_landing(pilot)
        else:
            self.home_run.step(pilot, dt_s)

    def _finish_landing(self, pilot: Pilot) -> None:
        self.reached(self.index)
        self.state = COMPLETE
        pilot.disarm("landed")

    def _after_the_end(self, pilot: Pilot, dt_s: float) -> None:
        if pilot.landed:
            pilot.body.idle(dt_s)
        else:
            pilot.fly_track(dt_s)

    # Going from item to item.

    def _starting_index(self) -> int:
        return self.index if self.state == PAUSED and self.index > 0 else 1

    def _begin_or_resume(self, pilot: Pilot) -> None:
        index = self._starting_index()
        if pilot.parameters["MIS_RESTART"]:
            index = 1
        pilot.track.go(pilot.stopping_point(), pilot.stopping_point(), pilot.limits())
        self._begin(pilot, index)

    def _seek(self, index: int) -> int | None:
        """The first navigation item from `index` on, jumps not followed."""
        plan = self.plan()
        return next((i for i in range(max(1, index), len(plan)) if plan[i].command in it.NAVIGATION), None)

    def _collect(self, index: int) -> tuple[list[Item], int | None]:
        """DO items from `index` up to the next navigation item, and that item's number; jumps are followed."""
        plan = self.plan()
        out: list[Item] = []
        hops = 0
        while index < len(plan):
            item = plan[index]
            if item.command in it.NAVIGATION:
                return out, index
            if item.command == it.DO_JUMP:
                hops += 1
                done = self._jumps.get(index, 0)
                if hops <= _JUMPS_IN_A_ROW and (item.p2 < 0 or done < item.p2) and 1 <= item.p1 < len(plan):
                    self._jumps[index] = done + 1
                    index = int(item.p1)
                    continue
            else:
                out.append(item)
            index += 1
        return out, None

    def _begin(self, pilot: Pilot, index: int) -> None:
        does, nav = self._collect(index)
        self._start(pilot, does, nav, flowing=False)

    def _finish(self, pilot: Pilot) -> None:
        self.reached(self.index)
        flowing = pilot.track.flows
        if self._next_nav is None:
            does, nav = self._collect(self.index + 1)
        else:
            does, nav = self._ahead
        self._start(pilot, does, nav, flowing=flowing)

    def _start(self, pilot: Pilot, does: list[Item], nav: int | None, *, flowing: bool) -> None:
        self.state = ACTIVE
        self._pending, self._condition = list(does), None
        self._run_pending(pilot)
        if nav is None:
            self._complete(pilot)
            return
        self.index, self._item = nav, self.plan()[nav]
        self._arrived, self._phase = False, ""
        self._ahead = self._collect(nav + 1)
        self._next_nav = self._ahead[1]
        self._set_off(pilot, self._item, flowing=flowing)

    def _complete(self, pilot: Pilot) -> None:
        self.state = COMPLETE
        pilot.say(INFO, "Mission complete")
        if not pilot.landed:
            here = pilot.track.destination
            pilot.track.go(here, here, pilot.limits())

    def _set_off(self, pilot: Pilot, item: Item, *, flowing: bool) -> None:
        handler = {
            it.TAKEOFF: self._set_off_up,
            it.RETURN_TO_LAUNCH: self._set_off_home,
            it.LAND: self._set_off_to_land,
            it.DELAY: self._set_off_nowhere,
        }.get(item.command)
        self._wait_s = 0.0
        if handler is not None:
            handler(pilot, item)
            return
        if item.command in (it.WAYPOINT, it.LOITER_TIME, it.SPLINE_WAYPOINT):
            self._wait_s = max(0.0, item.p1)
        if item.command == it.LOITER_TURNS:
            self._wait_s = max(0.0, item.p1) * math.tau / _CIRCLE_RATE_RPS
        place = pilot.place_of(item)
        if flowing:
            pilot.track.turn()
        else:
            pilot.track.go(pilot.track.position, place, pilot.limits())
        if pilot.parameters["WP_YAW_BEHAVIOR"] not in (0,):
            pilot.face(place)
        if item.command in (it.WAYPOINT, it.SPLINE_WAYPOINT) and self._wait_s == 0:
            pilot.track.then(self._place_ahead(pilot), self._limits_ahead(pilot))

    def _place_ahead(self, pilot: Pilot) -> Vector | None:
        """Where to flow on to, or None where this item is to be stopped at."""
        if self._next_nav is None or any(item.command in it.CONDITIONS for item in self._ahead[0]):
            return None
        following = self.plan()[self._next_nav]
        if following.command not in _FLOWS_INTO or (following.x == 0 and following.y == 0):
            return None
        return pilot.place_of(following)

    def _limits_ahead(self, pilot: Pilot) -> Limits:
        """Limits of the next leg: a speed change in between counts already."""
        speed = next((d.p2 for d in self._ahead[0] if d.command == it.DO_CHANGE_SPEED and d.p2 > 0), None)
        return pilot.limits(speed)

    def _set_off_up(self, pilot: Pilot, item: Item) -> None:
        if pilot.landed:
            pilot.leave_ground()
        _, _, up = pilot.place_of(item)
        here = pilot.track.position if pilot.track.done else pilot.at
        pilot.track.go((here[0], here[1], pilot.at[2]), (here[0], here[1], max(up, pilot.at[2])), pilot.limits())

    def _set_off_home(self, pilot: Pilot, item: Item) -> None:
        refused = self.home_run.enter(pilot)
        if refused:
            pilot.set_mode(LAND, refused)

    def _set_off_to_land(self, pilot: Pilot, item: Item) -> None:
        if item.x == 0 and item.y == 0:
            self._phase = "descend"
            self._descent.begin(pilot.track.destination)
            return
        place = pilot.place_of(item)
        self._phase = "fly"
        level = (place[0], place[1], pilot.track.position[2])
        pilot.track.go(pilot.track.position, level, pilot.limits())
        pilot.face(level)

    def _set_off_nowhere(self, pilot: Pilot, item: Item) -> None:
        self._wait_s = max(0.0, item.p1)
        here = pilot.track.destination
        pilot.track.go(pilot.track.position, here, pilot.limits())

    def _run_pending(self, pilot: Pilot) -> None:
        while self._pending:
            if self._condition is not None:
                if not self._condition():
                    return
                self._condition = None
            item = self._pending.pop(0)
            if item.command in it.CONDITIONS:
                self._condition = self._condition_of(pilot, item)
            else:
                self.act(item)

    def _condition_of(self, pilot: Pilot, item: Item) -> Callable[[], bool]:
        if item.command == it.CONDITION_DELAY:
            until = pilot.time_s + item.p1
            return lambda: pilot.time_s >= until
        if item.command == it.CONDITION_DISTANCE:
            return lambda: self.distance_m(pilot) < max(item.p1, 0.0)
        pilot.yaw_rad = math.radians(item.p1) + (pilot.heading_rad() if item.p4 else 0.0)
        return lambda: abs(math.remainder(pilot.heading_rad() - pilot.yaw_rad, math.tau)) < math.radians(3)
