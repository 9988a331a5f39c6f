"""The autopilot's rules put together: modes change, motors arm and disarm, and every step is flown.

One `step` is 0.02 s of simulated time, whatever the clock's speed, so a flight is the same flight at any speed.
"""

from __future__ import annotations

from collections.abc import Callable

from simulators.copter import items as it
from simulators.copter.battery import Airframe
from simulators.copter.dynamics import STEP_S, Wind
from simulators.copter.guard import Failsafes, arming_refusal
from simulators.copter.items import Item
from simulators.copter.modes import Guided, Mode, Return, simple_modes
from simulators.copter.pilot import (
    AUTO,
    CRITICAL,
    GUIDED,
    INFO,
    MODE_NAMES,
    NEEDS_POSITION,
    NOTICE,
    RTL,
    STABILIZE,
    WARNING,
    Pilot,
)  # fmt: skip
from simulators.copter.sequence import PAUSED, Sequence
from simulators.copter.shutter import Shot, Shutter

FORCE_ARM, FORCE_DISARM = 2989, 21196
_SLOW_EVERY = 5
_PREARM_EVERY_S = 30.0


class Autopilot:
    """One vehicle without its radio.

    Attributes:
        pilot: The state.
        sequence: The AUTO mode.
        failsafes: What it watches.
        shutter: Its camera's trigger.
        boots: Times it was powered on.
    """

    def __init__(
        self,
        system_id: int,
        place: tuple[float, float, float],
        plan: Callable[[int], list[Item]],
        shot: Callable[[Shot], None],
        *,
        airframe: Airframe,
        wind: Wind,
        gps_noise_m: float,
        seed: int,
        grace: float = 1.0,
    ) -> None:
        self.pilot = Pilot(
            system_id, place, airframe=airframe, wind=wind, gps_noise_m=gps_noise_m, seed=seed, grace=grace
        )
        self._plan = plan
        self.acts: Callable[[Item], None] = lambda item: None
        self.reached: Callable[[int], None] = lambda index: None
        self.armed_changed: Callable[[bool], None] = lambda armed: None
        self.sequence = Sequence(
            lambda: plan(it.MISSION), lambda item: self.acts(item), lambda index: self.reached(index)
        )
        self.modes: dict[int, Mode] = {**simple_modes(), AUTO: self.sequence}
        self.failsafes = Failsafes()
        self.shutter = Shutter(shot, seed)
        self.boots = 1
        self._steps = 0
        self._prearm_s = 5.0
        self._idle_s = 0.0
        self.pilot.set_mode = self.set_mode
        self.pilot.disarm = lambda reason: self._disarm_now(reason)

    @property
    def guided(self) -> Guided:
        """The GUIDED mode."""
        mode = self.modes[GUIDED]
        assert isinstance(mode, Guided)
        return mode

    # Modes.

    def set_mode(self, mode: int, reason: str = "") -> bool:
        """Changes the mode; False, with a text to everyone, where it cannot be entered."""
        pilot = self.pilot
        if mode == pilot.mode:
            return True
        behaviour = self.modes.get(mode)
        if behaviour is None:
            pilot.say(WARNING, f"Mode change to mode {mode} failed: not available")
            return False
        name = MODE_NAMES[mode]
        if mode in NEEDS_POSITION and not pilot.sensors.ekf_ok and pilot.armed:
            pilot.say(WARNING, f"Mode change to {name} failed: requires position")
            return False
        # Disarmed, every mode may be chosen: it is the arming check that judges it.
        refusal = behaviour.enter(pilot) if pilot.armed else None
        if refusal:
            pilot.say(WARNING, refusal)
            return False
        if pilot.mode == AUTO:
            self.sequence.pause()
        pilot.mode = mode
        if reason:
            pilot.say(NOTICE, f"{reason}: {name}")
        return True

    # Arming.

    def arm(self, *, force: bool = False) -> bool:
        """Starts the motors; False, with a text to everyone, where it may not."""
        pilot = self.pilot
        if pilot.armed:
            return True
        refusal = None if force else arming_refusal(pilot, mission_starts=False)
        if refusal:
            pilot.say(CRITICAL, refusal)
            return False
        pilot.armed, pilot.armed_at_s, self._idle_s = True, pilot.time_s, 0.0
        pilot.control.reset()
        pilot.yaw_rad = pilot.heading_rad()
        if pilot.sensors.ekf_ok:
            pilot.set_home()
        if self.sequence.state != PAUSED:
            self.sequence.rewind()
        self.sequence.started = False
        self.modes[pilot.mode].enter(pilot)
        pilot.say(INFO, "Arming motors")
        self.armed_changed(True)
        return True

    def disarm(self, *, force: bool = False) -> bool:
        """Stops the motors; only on the ground unless forced."""
        if not self.pilot.armed:
            return True
        if not self.pilot.landed and not force:
            return False
        self._disarm_now("")
        return True

    def _disarm_now(self, reason: str) -> None:
        pilot = self.pilot
        if not pilot.armed:
            return
        pilot.armed = False
        pilot.landed = pilot.landed or pilot.body.on_ground
        pilot.speed_mps = None
        pilot.say(INFO, "Disarming motors")
        self.shutter.stop()
        if self.sequence.state not in (PAUSED,) or pilot.mode == AUTO:
            self.sequence.rewind()
        self.failsafes.rest()
        self.armed_changed(False)

    def take_off(self, height_m: float) -> bool:
        """NAV_TAKEOFF in GUIDED."""
        pilot = self.pilot
        return pilot.mode == GUIDED and pilot.armed and self.guided.take_off(pilot, height_m)

    def reboot(self) -> None:
        """Power off and on: in the air the motors stop."""
        pilot = self.pilot
        pilot.armed = False
        pilot.time_s = 0.0
        pilot.home = None
        pilot.mode = STABILIZE
        pilot.speed_mps = None
        pilot.sensors.boot()
        pilot.sticks.until_s = 0.0
        self._steps, self._prearm_s = 0, 5.0
        self.sequence.rewind()
        self.shutter.stop()
        self.failsafes = Failsafes()
        self.boots += 1
        pilot.parameters.put("STAT_BOOTCNT", self.boots)

    def move_to(self, lon: float, lat: float, alt_amsl_m: float) -> bool:
        """Carried to another take-off point; refused while armed."""
        pilot = self.pilot
        if pilot.armed or not pilot.body.on_ground:
            return False
        pilot.frame = type(pilot.frame)(lon, lat)
        pilot.ground_amsl_m = alt_amsl_m
        body = pilot.body
        body.north = body.east = body.up = 0.0
        body.stop_on_ground()
        pilot.home = None
        self.shutter.stop()
        pilot.refresh_fence(self._plan(it.FENCE))
        self.read_rally()
        self.sequence.rewind()
        pilot.at = pilot.sensors.position(body)
        return True

    def read_rally(self) -> None:
        """Takes the stored rally points."""
        pilot = self.pilot
        places = [pilot.place_of(item) for item in self._plan(it.RALLY)]
        for mode in (self.modes[RTL], self.sequence.home_run):
            assert isinstance(mode, Return)
            mode.rally = places

    # Time.

    def step(self) -> None:
        """0.02 s of simulated time."""
        pilot, body = self.pilot, self.pilot.body
        pilot.time_s += STEP_S
        self._steps += 1
        pilot.sensors.step(STEP_S)
        pilot.at = pilot.sensors.position(body)
        if pilot.armed:
            self.modes[pilot.mode].step(pilot, STEP_S)
            # The camera sees where the step has led to, not where it began.
            pose = pilot.pose()
            pilot.at = pose.believed
            if not pilot.landed:
                self.shutter.step(pose)
        elif body.on_ground:
            body.rest(STEP_S)
            body.stop_on_ground()
            pilot.landed = True
        else:
            body.rest(STEP_S)
        pilot.battery.draw(body.power_w, STEP_S)
        if self._steps % _SLOW_EVERY == 0:
            self._step_slow(STEP_S * _SLOW_EVERY)

    def _step_slow(self, dt_s: float) -> None:
        pilot = self.pilot
        self.failsafes.step(pilot)
        if pilot.armed and pilot.landed:
            self._idle_s += dt_s
            delay = pilot.parameters["DISARM_DELAY"] * pilot.grace
            if delay and self._idle_s > delay:
                self._disarm_now("idle")
        else:
            self._idle_s = 0.0
        if self.crashed():
            pilot.say(CRITICAL, "Crash: Disarming: AngErr=45>30")
            self._disarm_now("crash")
        if pilot.battery.charge <= 0.0 and not pilot.landed:
            # A flat pack holds nothing up.
            pilot.body.motor_share = min(pilot.body.motor_share, 0.5)
        if not pilot.armed and pilot.time_s >= self._prearm_s:
            self._prearm_s = pilot.time_s + _PREARM_EVERY_S
            refusal = arming_refusal(pilot, mission_starts=False)
            if refusal and refusal.startswith("PreArm"):
                pilot.say(CRITICAL, refusal)
        if pilot.home is None and pilot.sensors.ekf_ok and not pilot.armed:
            pilot.set_home()

    def crashed(self) -> bool:
        """Armed, not landed, yet lying on the ground without motors enough to lift."""
        return self.pilot.armed and self.pilot.body.on_ground and self.pilot.body.motor_share < 0.6
