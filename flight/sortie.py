"""One sortie on one vehicle, from upload to disarming; every phase by the vehicle's own clock."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pymavlink.dialects.v20 import ardupilotmega as mavlink
from shapely.geometry.base import BaseGeometry

from flight.capturelog import Capture
from flight.clock import now_s
from flight.delivery import upload_verified
from flight.errors import CommandError, FlightError, PreflightError
from flight.events import (
    CheckEvent,
    FlightEvent,
    Phase,
    ProgressEvent,
    SortieEvent,
    SortieResult,
    TextEvent,
    TransferEvent,
)
from flight.helm import Helm
from flight.items import TYPE_NAMES
from flight.orders import Orders, distance_m
from flight.papers import Papers
from flight.params import write_param
from flight.photos import PhotoLog, image_count
from flight.policy import Check, Policy
from flight.preflight import Override, blocking, check_parameters, wait_until_ready
from flight.record import FLUSH_EVERY_S, Recorder
from flight.vehicle import Vehicle
from flight.view import Other
from flight.watch import Watch

# A cold ArduCopter needs ~40 s until its EKF has a position; a cold receiver minutes.
_READY_WAIT_S = 180.0
# GUIDED, arm and take-off are repeated together: after a refused take-off it disarms itself within ~10 s.
_LAUNCH_FOR_S = 90.0
_LAUNCH_EVERY_S = 3.0
_AIRBORNE_M = 1.5
_ROOM_WAIT_S = 900.0
_CLIMB_TO_M = 10.0
# The plan's time is a prediction: past this it is stuck, and comes home.
_LATE_FACTOR, _LATE_EXTRA_S = 2.0, 240.0
_RETURN_FOR_S = 600.0
# Wall seconds without a packet: said after the first, given up after the second (it then flies by its own failsafes).
_LINK_LATE_S = 5.0
_LINK_GIVE_UP_S = 120.0
_LOOK_EVERY_S = 0.2
_PROGRESS_EVERY_S = 1.0


@dataclass
class Files:
    """Where a sortie's record goes."""

    tlog: Path
    captures: Path
    commands: Path


@dataclass
class SortieFlight:
    """A sortie being flown."""

    vehicle: Vehicle
    orders: Orders
    files: Files
    url: str
    operator: str
    policy: Policy
    emit: Callable[[FlightEvent], None]
    overrides: Sequence[Override] = ()
    others: Callable[[], Iterable[Other]] = tuple
    clear: Callable[[], bool] = lambda: True
    obstacles: Sequence[tuple[BaseGeometry, float]] = ()
    earlier: Sequence[Capture] = ()
    papers: Papers = field(default_factory=Papers)
    stopped: Callable[[], str] = str
    airborne: bool = False
    reached_item: int = 0
    lift_off_s: float = math.nan
    landed_s: float = math.nan
    photos: PhotoLog | None = None
    _texts_seen_s: float = -math.inf
    _link_said: bool = False

    def __post_init__(self) -> None:
        self.helm = Helm(self.vehicle, self.orders, self._text)
        self.watch = Watch(self.vehicle, self.orders, self.policy, self.helm, self.others, self.obstacles)

    @property
    def sortie_id(self) -> str:
        """The plan's id."""
        return self.orders.sortie.id

    async def fly(self) -> SortieResult:
        """Uploads, checks, flies, follows to disarming; never raises for what a vehicle or a link does."""
        recorder = Recorder(self.vehicle, self.files.tlog, self.files.commands, self.operator)
        flusher = asyncio.create_task(self._flush(recorder))
        self._texts_seen_s = now_s()
        why, missing, cancelled = "", 0, False
        wh_before = self._consumed_wh()
        try:
            await self._prepare()
            await self._launch()
            watching = asyncio.create_task(self.watch.run())
            try:
                await self._follow()
            finally:
                watching.cancel()
            why = self._shortfall()
        except FlightError as error:
            why = str(error)
        except asyncio.CancelledError:
            cancelled = True
            raise
        finally:
            if self.photos is not None:
                if (not why or self.airborne) and not cancelled:
                    with contextlib.suppress(FlightError):
                        missing = await self.photos.ask_again()
                captures = self.photos.close()
            else:
                captures = []
            flusher.cancel()
            recorder.close()
        return self._result(why, len(captures), missing, wh_before)

    def _result(self, why: str, photos: int, missing: int, wh_before: float) -> SortieResult:
        at = self.vehicle.state.position
        down = not math.isnan(self.landed_s)
        offset_m = distance_m((at.lon, at.lat), self.orders.sortie.home[:2]) if at and down else math.nan
        flown_s = (self.landed_s if down else self.vehicle.state.boot_s) - self.lift_off_s
        return SortieResult(
            self.sortie_id, "failed" if why else "landed", why, self.vehicle.system_id, self.files.tlog,
            self.files.captures if self.photos is not None else None, photos, missing,
            0.0 if math.isnan(flown_s) else flown_s, self._consumed_wh() - wh_before, self.reached_item, offset_m,
        )  # fmt: skip

    def _consumed_wh(self) -> float:
        battery = self.vehicle.state.battery
        return battery.consumed_wh if battery else math.nan

    async def _flush(self, recorder: Recorder) -> None:
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            recorder.flush()
            if self.photos is not None:
                self.photos.flush()

    # -- on the ground -----------------------------------------------------------------------------------------

    async def _prepare(self) -> None:
        vehicle, orders = self.vehicle, self.orders
        self._phase("uploading")
        checks: list[Check] = []
        for items, kind in (
            (orders.mission, mavlink.MAV_MISSION_TYPE_MISSION),
            (orders.fence, mavlink.MAV_MISSION_TYPE_FENCE),
            (orders.rally, mavlink.MAV_MISSION_TYPE_RALLY),
        ):
            await upload_verified(vehicle, items, kind, self._transferred)
            checks.append(Check(TYPE_NAMES[kind], "pass", f"{len(items)} items read back equal"))
        await self._set_limits()
        self._phase("preflight")
        checks += await wait_until_ready(
            vehicle, orders, self.policy, wait_s=_READY_WAIT_S, overrides=self.overrides, papers=self.papers
        )
        checks += await check_parameters(vehicle, self.policy)
        self._grade(checks)

    def _grade(self, checks: Sequence[Check]) -> None:
        """Says and records every grade, and refuses where a failed check is nobody's decision."""
        for check in checks:
            self.emit(CheckEvent(self.sortie_id, self.vehicle.system_id, check.name, check.grade, check.detail))
            waived = [o for o in self.overrides if check.grade == "fail" and o.covers(check)]
            for override in waived:
                self.vehicle.note(f"override {check.name}: {check.detail}", override.reason, override.person)
                self._text(3, f"{check.name} overridden by {override.person}: {override.reason}")
            if not waived:
                self.vehicle.note(f"check {check.name}: {check.grade}", check.detail)
        failed = blocking(checks, self.overrides)
        if failed:
            reasons = "; ".join(f"{check.name}: {check.detail}" for check in failed)
            raise PreflightError(f"{self.vehicle.name} may not take off for {self.orders.sortie.short_id}: {reasons}")

    async def _set_limits(self) -> None:
        """The vehicle's own fence, so that it holds the limits also when we are silent."""
        if not self.orders.fence:
            return
        # Ceiling and polygons, not the circle: its default of 300 m around home is no rule of this plan.
        for name, value in (
            ("FENCE_TYPE", 5.0),
            ("FENCE_ALT_MAX", self.orders.ceiling_rel_m),
            ("FENCE_ACTION", 1.0),
            ("FENCE_ENABLE", 1.0),
        ):
            await write_param(self.vehicle, name, value)

    def _transferred(self, done: int, total: int, what: str) -> None:
        self.emit(TransferEvent(self.sortie_id, self.vehicle.system_id, done, total, what))

    def _phase(self, phase: Phase) -> None:
        self.emit(SortieEvent(phase, self.orders.sortie, self.vehicle.system_id, self.url, tlog=self.files.tlog))

    # -- take-off ----------------------------------------------------------------------------------------------

    async def _launch(self) -> None:
        """GUIDED, arm and take-off together until it climbs, then AUTO."""
        vehicle, state = self.vehicle, self.vehicle.state
        await self._wait_for_room()
        if why := self.stopped():
            await self._stay_down(why)
        base = await image_count(vehicle)
        self.photos = PhotoLog(vehicle, self.files.captures, self.sortie_id, base, self.earlier)
        state.mission = None
        state.reached.clear()  # numbers of an earlier sortie's mission
        height_m = min(self.orders.takeoff_height_m, _CLIMB_TO_M)
        until_s = state.boot_s + _LAUNCH_FOR_S
        last = "it did not climb"
        while not self._climbing():
            if state.boot_s > until_s or vehicle.state.age_s(state.heartbeat) > _LINK_GIVE_UP_S:
                raise CommandError(f"{vehicle.name} did not take off within {_LAUNCH_FOR_S:.0f} s: {last}")
            if why := self.stopped():
                await self._stay_down(why)
            last = await self._try_launch(height_m) or last
            await vehicle.until(self._climbing, _LAUNCH_EVERY_S)
        self.airborne = True
        self.lift_off_s = state.boot_s
        self._phase("flying")
        await vehicle.until(lambda: self._height_m() > height_m - 1.0, 30.0)
        await self._begin_mission()

    async def _stay_down(self, why: str) -> None:
        """Does not take off; one that has left the ground meanwhile refuses to disarm, and is sent home from there."""
        if self.vehicle.state.armed and not (await self.vehicle.disarm()).ok:
            return
        raise PreflightError(f"{self.vehicle.name} stays on the ground: {why}")

    async def _wait_for_room(self) -> None:
        """Launches are staggered: nobody takes off under, or beside, one of ours that is low."""
        if not await self.vehicle.until(lambda: bool(self.stopped()) or self.clear(), _ROOM_WAIT_S, every_s=0.5):
            raise PreflightError(f"{self.vehicle.name}: the air above is not clear after {_ROOM_WAIT_S:.0f} s")

    def _height_m(self) -> float:
        at = self.vehicle.state.position
        return at.height_rel_m if at else 0.0

    def _climbing(self) -> bool:
        return self.vehicle.state.armed and self._height_m() > _AIRBORNE_M

    async def _try_launch(self, height_m: float) -> str:
        vehicle = self.vehicle
        if vehicle.state.mode != "GUIDED":
            outcome = await vehicle.set_mode("GUIDED", reason="launch")
            if not outcome.ok:
                return _words(outcome.what, outcome.result, outcome.said)
        if not vehicle.state.armed:
            outcome = await vehicle.arm(reason="launch")
            if not outcome.ok:
                return _words(outcome.what, outcome.result, outcome.said)
        outcome = await vehicle.command(
            mavlink.MAV_CMD_NAV_TAKEOFF, 0, 0, 0, 0, 0, 0, height_m, what="take-off", reason="launch"
        )
        return "" if outcome.ok else _words(outcome.what, outcome.result, outcome.said)

    async def _begin_mission(self) -> None:
        vehicle = self.vehicle
        for _ in range(5):
            if why := self.stopped():
                await self.helm.send_home(self.operator, why)
                return
            outcome = await vehicle.set_mode("AUTO", reason="begin the mission")
            if outcome.ok and not self.stopped():
                self.helm.begin()
                return
            await vehicle.sleep(1.0)
        await self.helm.send_home("yunxun", f"AUTO was refused: {outcome.result} {outcome.said}".rstrip())

    # -- in the air --------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        """Watches until it has landed and disarmed."""
        vehicle, state = self.vehicle, self.vehicle.state
        begun_s, reboots = state.boot_s, state.reboots
        limit_s = self.orders.sortie.duration_s * _LATE_FACTOR + _LATE_EXTRA_S
        told_s, returning_s = -math.inf, math.nan
        while state.armed:
            await vehicle.sleep(_LOOK_EVERY_S)
            self._look()
            self._say_texts()
            if state.reboots != reboots:
                raise FlightError(f"{vehicle.name} restarted in flight at item {self.reached_item}")
            if now_s() - state.last_packet_s > _LINK_GIVE_UP_S:
                raise FlightError(
                    f"{vehicle.name} has been silent for {_LINK_GIVE_UP_S:.0f} s at item {self.reached_item}"
                )
            if state.boot_s - told_s >= _PROGRESS_EVERY_S:
                told_s = state.boot_s
                self._tell(begun_s)
            if math.isnan(returning_s) and state.boot_s - begun_s > limit_s:
                returning_s = state.boot_s
                late = f"not home after {limit_s:.0f} s, planned {self.orders.sortie.duration_s:.0f} s"
                await self.helm.send_home("guard", late)
            if state.boot_s - returning_s > _RETURN_FOR_S:
                raise FlightError(f"{vehicle.name} was called home and is not down after {_RETURN_FOR_S:.0f} s")
        self.landed_s = state.boot_s
        self._say_texts()

    def _look(self) -> None:
        state = self.vehicle.state
        self.helm.look()
        if state.mission is not None and state.mode == "AUTO":
            self.reached_item = max(self.reached_item, state.mission.seq)
        late = now_s() - state.last_packet_s > _LINK_LATE_S
        if late != self._link_said:
            self._link_said = late
            self._text(4 if late else 5, "the link is silent" if late else "the link is back")

    def _text(self, severity: int, text: str) -> None:
        self.emit(TextEvent(self.sortie_id, self.vehicle.system_id, severity, text))

    def _say_texts(self) -> None:
        texts = [text for text in self.vehicle.state.texts if text.at_s > self._texts_seen_s]
        for text in texts:
            self._text(text.severity, text.text)
            self._texts_seen_s = text.at_s

    def _tell(self, begun_s: float) -> None:
        state, at = self.vehicle.state, self.vehicle.state.position
        if at is None:
            return
        battery = state.battery.remaining if state.battery else math.nan
        decision = self.watch.decision
        guard = f"{decision.action.name.lower()}: {decision.rule}" if decision.action else ""
        self.emit(
            ProgressEvent(
                self.sortie_id, self.vehicle.system_id, state.mode, self.reached_item, self.orders.last_item, at.lon,
                at.lat, at.height_rel_m, at.speed_mps, battery, self.photos.count if self.photos else 0,
                state.boot_s - begun_s, now_s() - state.last_packet_s, guard, at.heading_deg,
            )
        )  # fmt: skip

    def _shortfall(self) -> str:
        """Why a landed sortie is not done, "" where it is."""
        if self.helm.ended:
            return self.helm.ended
        # The last item is the way home; getting to it means that everything before was flown.
        if self.reached_item >= self.orders.last_item or self.orders.last_item in self.vehicle.state.reached:
            return ""
        bad = [text.text for text in self.vehicle.state.texts if text.severity <= mavlink.MAV_SEVERITY_WARNING]
        said = f": {bad[-1]}" if bad else ""
        return f"landed after item {self.reached_item} of {self.orders.last_item}{said}"


def _words(what: str, result: str, said: str) -> str:
    return f"{what}: {result}" + (f" ({said})" if said else "")
