"""Who steers an aircraft in the air: its mission, the guard, or a person. A person always wins.

Commands of ours are told from a person's by what was last asked for: a mode that nobody here set is a stick's or
another ground station's, and from then on the guard keeps its hands off until the mission is given back.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flight.clock import now_s
from flight.frame import LocalFrame
from flight.guard import CALM, Action, Decision
from flight.orders import Orders, distance_m, moved
from flight.vehicle import Outcome, Vehicle
from flight.view import coming_home

Owner = Literal["launch", "mission", "guard", "person", "other"]

# Position alone, in degrees and metres above home; velocity, acceleration and yaw ignored.
_POSITION_ONLY = 0b0000_1101_1111_1000
_VELOCITY_ONLY = 0b0000_1101_1100_0111
# ArduCopter forgets a velocity target after 3 s (GUID_TIMEOUT); its default climb is 2.5 m/s.
_VELOCITY_AGAIN_S, _CLIMB_MPS = 0.8, 2.5
_ARRIVED_M, _ARRIVED_UP_M = 4.0, 2.0
_AGAIN_S, _UNDER_WAY_MPS = 2.0, 0.5
_BACK_FOR_S = 180.0
# A stick this far from where it lay at take-off is a hand on it, in µs of the RC channel.
_STICK_US = 150
_LOW_M = 6.0
# ArduCopter's default deceleration (WPNAV_ACCEL), and the command's way to it.
_BRAKE_MPS2, _REACT_S = 2.5, 0.5


class Spot(NamedTuple):
    """A place in the air, and the mission item that was being flown there."""

    lon: float
    lat: float
    height_m: float
    item: int


class Helm:
    """Steers one vehicle for one sortie.

    Attributes:
        owner: Who decides now.
        left: Where the mission was last being flown: the place to go back to.
        ended: Why the mission was ended early, "" while it was not.
    """

    def __init__(self, vehicle: Vehicle, orders: Orders, say: Callable[[int, str], None]) -> None:
        self.vehicle = vehicle
        self.orders = orders
        self.owner: Owner = "launch"
        self.left: Spot | None = None
        self.ended = ""
        self._say = say
        self._expected = ""
        self._busy = 0
        self._doing: Decision = CALM
        self._target: Spot | None = None
        self._climb_to_m = math.nan
        self._sent_s = -math.inf
        self._resume_mode = "AUTO"
        self._sticks: tuple[int, ...] | None = None

    @property
    def coming_home(self) -> bool:
        """Whether it returns or lands, or will as soon as the guard lets it."""
        if self.owner == "guard" and self._resume_mode in ("RTL", "AUTO"):
            return coming_home(self.vehicle.state, self.orders, self._resume_mode)
        return coming_home(self.vehicle.state, self.orders)

    @property
    def resume_mode(self) -> str:
        """The mode that the guard, or a person's `resume`, gives back."""
        return self._resume_mode

    @property
    def target(self) -> Spot | None:
        """Where it was told to go, None where it was told no place."""
        return self._target

    @property
    def climb_to_m(self) -> float:
        """The height above home that it goes straight up or down to, NaN for none."""
        return self._climb_to_m

    # -- looking -----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The mission has begun: from here on the guard may act."""
        self.owner = "mission"
        self._expected = "AUTO"
        sticks = self.vehicle.state.sticks
        self._sticks = sticks.channels if sticks is not None else None

    def look(self) -> None:
        """Notices where the mission is, and whether somebody else took the vehicle."""
        state = self.vehicle.state
        at = state.position
        mission_on = state.mode == "AUTO" and self.owner == "mission" and self._busy == 0
        if mission_on and at is not None and state.mission is not None:
            self.left = Spot(at.lon, at.lat, at.height_rel_m, state.mission.seq)
        if self._busy or not state.mode or state.mode == self._expected:
            self._keep_target()
            return
        self._expected = state.mode
        self._target, self._doing = None, CALM
        if state.mode == "AUTO":
            self.owner = "mission"
            self._say(5, "the mission goes on, not by us")
            return
        self.owner = "other"
        if state.mode in ("RTL", "LAND", "SMART_RTL", "BRAKE"):
            self.ended = self.ended or f"{state.mode} by the autopilot or a person{self._last_warning()}"
        self._say(4, f"flies in {state.mode}, not by us: the guard only warns")

    def _last_warning(self) -> str:
        for text in reversed(self.vehicle.state.texts):
            if text.severity <= mavlink.MAV_SEVERITY_WARNING and now_s() - text.at_s < 10:
                return f" ({text.text})"
        return ""

    def hand_on_stick(self) -> bool:
        """Whether roll, pitch or yaw is away from where it lay at take-off."""
        sticks = self.vehicle.state.sticks
        if sticks is None or self._sticks is None or self.vehicle.state.age_s(sticks) > 2.0:
            return False
        pairs = [(sticks.channels[n], self._sticks[n]) for n in (0, 1, 3)]
        return any(800 < now < 2200 and 800 < then < 2200 and abs(now - then) > _STICK_US for now, then in pairs)

    # -- doing -------------------------------------------------------------------------------------------------

    async def _mode(self, mode: str, reason: str, by: str) -> Outcome:
        self._busy += 1
        try:
            outcome = await self.vehicle.set_mode(mode, reason=reason, by=by)
            if outcome.ok or self.vehicle.state.mode == mode:
                self._expected = mode
            return outcome
        finally:
            self._busy -= 1

    def _keep_target(self) -> None:
        """A position target has no acknowledgement: it is sent again until the vehicle is there."""
        if self.vehicle.state.mode != "GUIDED":
            return
        if self._climb_to_m == self._climb_to_m:
            self._keep_climbing()
            return
        target = self._target
        if target is None:
            return
        now_s = self.vehicle.state.boot_s
        if now_s - self._sent_s < _AGAIN_S or self._arrived(target) or self._nearing(target):
            return
        self._sent_s = now_s
        v = self.vehicle
        v.send(
            mavlink.MAVLink_set_position_target_global_int_message(
                0, v.system_id, v.component_id, mavlink.MAV_FRAME_GLOBAL_RELATIVE_ALT_INT, _POSITION_ONLY,
                round(target.lat * 1e7), round(target.lon * 1e7), target.height_m, 0, 0, 0, 0, 0, 0, 0, 0,
            )
        )  # fmt: skip

    def _keep_climbing(self) -> None:
        """Straight up or down by velocity: a position target would first fly back to where it was told."""
        at = self.vehicle.state.position
        if at is None or self.vehicle.state.boot_s - self._sent_s < _VELOCITY_AGAIN_S:
            return
        miss_m = self._climb_to_m - at.height_rel_m
        if abs(miss_m) < 0.5:
            self._target, self._climb_to_m = self._here(self._climb_to_m), math.nan
            return
        self._sent_s = self.vehicle.state.boot_s
        v = self.vehicle
        down_mps = -max(-_CLIMB_MPS, min(_CLIMB_MPS, miss_m))
        v.send(
            mavlink.MAVLink_set_position_target_global_int_message(
                0, v.system_id, v.component_id, mavlink.MAV_FRAME_GLOBAL_RELATIVE_ALT_INT, _VELOCITY_ONLY,
                0, 0, 0, 0, 0, down_mps, 0, 0, 0, 0, 0,
            )
        )  # fmt: skip

    def _nearing(self, spot: Spot) -> bool:
        """On its way: told again, some firmware would begin anew from rest, and never get there."""
        at = self.vehicle.state.position
        if at is None or self._sent_s == -math.inf:
            return False
        frame = LocalFrame(*self.orders.sortie.home[:2])
        (x, y), (there_x, there_y) = frame.xy(at.lon, at.lat), frame.xy(spot.lon, spot.lat)
        east_m, north_m, up_m = there_x - x, there_y - y, spot.height_m - at.height_rel_m
        far_m = max(math.hypot(east_m, north_m, up_m), 0.1)
        return (at.east_mps * east_m + at.north_mps * north_m - at.down_mps * up_m) / far_m > _UNDER_WAY_MPS

    def _arrived(self, spot: Spot) -> bool:
        at = self.vehicle.state.position
        if at is None:
            return False
        near = distance_m((at.lon, at.lat), (spot.lon, spot.lat)) < _ARRIVED_M
        return near and abs(at.height_rel_m - spot.height_m) < _ARRIVED_UP_M

    def _here(self, height_m: float = math.nan) -> Spot | None:
        """Where it comes to a stop if told now; at that height, or its own."""
        at = self.vehicle.state.position
        if at is None:
            return None
        stop_s = _REACT_S + at.speed_mps / (2 * _BRAKE_MPS2)
        lon, lat = moved(at.lon, at.lat, at.east_mps * stop_s, at.north_mps * stop_s)
        return Spot(lon, lat, height_m if height_m == height_m else at.height_rel_m, 0)

    async def _hold(self, reason: str, by: str) -> Outcome:
        if self.vehicle.state.mode in ("AUTO", "RTL"):
            self._resume_mode = self.vehicle.state.mode
        self._target, self._climb_to_m = None, math.nan
        outcome = await self._mode("GUIDED", reason, by)
        return outcome if outcome.ok else await self._mode("BRAKE", reason, by)

    async def _go(self, spot: Spot, reason: str, by: str) -> Outcome:
        outcome = await self._hold(reason, by)
        if outcome.ok:
            self._target, self._sent_s = spot, -math.inf
            self._keep_target()
        return outcome

    async def _mission_on(self, reason: str, by: str) -> Outcome:
        self._target, self._climb_to_m = None, math.nan
        outcome = await self._mode(self._resume_mode, reason, by)
        if outcome.ok:
            self.owner = "mission"
        return outcome

    # -- the guard ---------------------------------------------------------------------------------------------

    async def obey(self, decision: Decision) -> None:
        """Does what the guard wants, unless a person has the vehicle."""
        if self.owner == "guard" and self.hand_on_stick():
            # Looked at every time, not only when the guard changes its mind: a hold may last.
            self._say(3, "hand on the stick: LOITER, the guard lets go")
            self._target, self._climb_to_m = None, math.nan
            await self._mode("LOITER", "stick moved", "guard")
            self.owner, self._doing = "other", CALM
            return
        if decision.action == self._doing.action and not self._higher(decision):
            return
        if self.owner not in ("mission", "guard"):
            if decision.action > self._doing.action:
                self._say(3, f"guard would {decision.action.name.lower()}: {decision.rule}: {decision.why}")
            self._doing = decision
            return
        before, self._doing = self._doing, decision
        if decision.action != Action.NONE:
            self._say(3 if decision.action > Action.WARN else 4, f"guard: {decision.rule}: {decision.why}")
        if not await self._do(decision, before):
            self._doing = before  # not taken: tried again at the next look

    def _higher(self, decision: Decision) -> bool:
        return decision.action == Action.HEIGHT and abs(decision.height_m - self._doing.height_m) > 2.0

    async def _do(self, decision: Decision, before: Decision) -> bool:
        why = f"{decision.rule}: {decision.why}"
        if decision.action <= Action.WARN:
            if before.action in (Action.HOLD, Action.HEIGHT, Action.NUDGE) and self.owner == "guard":
                return (await self._mission_on(f"{before.rule} is clear", "guard")).ok
            return True
        at = self._here()
        if decision.action in (Action.HOLD, Action.HEIGHT) and (at is None or at.height_m < _LOW_M):
            return True  # about to touch down: a hold here is worse than landing
        self.owner = "guard"
        if decision.action == Action.RETURN:
            self.ended, self._resume_mode = self.ended or why, "RTL"
            return self.vehicle.state.mode == "RTL" or (await self._mode("RTL", why, "guard")).ok
        if decision.action == Action.LAND:
            self.ended = self.ended or why
            return (await self._mode("LAND", why, "guard")).ok
        if decision.action == Action.HEIGHT:
            taken = (await self._hold(why, "guard")).ok
            self._climb_to_m, self._sent_s = decision.height_m, -math.inf
            self._keep_target()
            return taken
        outcome = await self._hold(why, "guard")
        if decision.action == Action.NUDGE and outcome.ok:
            await self.vehicle.sleep(1.0)
            outcome = await self._mission_on("nudge", "guard")
        return outcome.ok

    # -- people ------------------------------------------------------------------------------------------------

    async def pause(self, by: str, reason: str) -> Outcome:
        """Stops in the air and stays."""
        self.owner = "person"
        return await self._hold(reason or "paused", by)

    async def send_home(self, by: str, reason: str) -> Outcome:
        """Return to launch."""
        self.owner, self._target = "person", None
        outcome = await self._mode("RTL", reason or "called home", by)
        if outcome.ok:
            self.ended = f"called home by {by}" + (f": {reason}" if reason else "")
        return outcome

    async def land(self, by: str, reason: str) -> Outcome:
        """Lands where it is."""
        self.owner, self._target = "person", None
        outcome = await self._mode("LAND", reason or "told to land", by)
        if outcome.ok:
            self.ended = f"told to land by {by}" + (f": {reason}" if reason else "")
        return outcome

    async def goto(self, lon: float, lat: float, height_m: float, by: str, reason: str) -> Outcome:
        """Leaves its mission for a place; `resume` brings it back to where it was."""
        self.owner = "person"
        outcome = await self._go(Spot(lon, lat, height_m, 0), reason or "re-tasked", by)
        if outcome.ok and self._trigger_m() > 0:
            await self._set_trigger(0.0, "no photographs on the way", by)
        return outcome

    async def resume(self, by: str, reason: str) -> Outcome:
        """Back to where the mission was left, then on with it."""
        spot = self.left
        at = self.vehicle.state.position
        self.owner = "person"
        if spot is not None and at is not None and self._resume_mode == "AUTO" and not self._arrived(spot):
            outcome = await self._go(spot, reason or "back to the mission", by)
            if not outcome.ok:
                return outcome
            await self.vehicle.until(lambda: self._arrived(spot) or self._taken(), _BACK_FOR_S)
            if self._taken():
                return Outcome("resume", "overtaken by another command")
        if self._trigger_m() > 0 and self._resume_mode == "AUTO":
            await self._set_trigger(self._trigger_m(), "photographs again", by)
        return await self._mission_on(reason or "resumed", by)

    def _taken(self) -> bool:
        return self.owner != "person"

    def _trigger_m(self) -> float:
        """The camera's trigger distance at the place where the mission was left."""
        return trigger_before(self.orders, self.left.item if self.left else 0)

    async def _set_trigger(self, every_m: float, reason: str, by: str) -> None:
        await self.vehicle.command(
            mavlink.MAV_CMD_DO_SET_CAM_TRIGG_DIST, every_m, 0, 1, what="camera trigger", reason=reason, by=by
        )


def trigger_before(orders: Orders, item: int) -> float:
    """Trigger distance in m that is in force while `item` is being flown, 0 for none."""
    every_m = 0.0
    for wire in orders.mission[1:item]:
        if wire.command == mavlink.MAV_CMD_DO_SET_CAM_TRIGG_DIST:
            every_m = wire.params[0]
    return every_m
