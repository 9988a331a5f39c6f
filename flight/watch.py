"""Runs the guard over one flight, at least twice a second of the vehicle's clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from shapely.geometry.base import BaseGeometry

from flight.clock import now_s
from flight.guard import CALM, Action, Decision, Guard
from flight.helm import Helm
from flight.intent import going_on
from flight.orders import Orders
from flight.preflight import Policy
from flight.rules import Gps, all_rules
from flight.separation import Separation
from flight.vehicle import Vehicle
from flight.view import Motion, Other, Power, Sight, View

LOOK_EVERY_S = 0.4
# As long as the GPS rule itself waits before it lets go.
_DOUBT_S = 8.0


class Watch:
    """The guard of one sortie. Separation is judged apart: it moves an aircraft also on its way home."""

    def __init__(
        self,
        vehicle: Vehicle,
        orders: Orders,
        policy: Policy,
        helm: Helm,
        others: Callable[[], Iterable[Other]],
        obstacles: Sequence[tuple[BaseGeometry, float]] = (),
    ) -> None:
        self.vehicle, self.orders, self.policy, self.helm = vehicle, orders, policy, helm
        self.sight = Sight.of(orders, obstacles)
        duration_s = max(orders.sortie.duration_s, 1.0)
        self.power = Power(orders.sortie.energy_wh * 3600 / duration_s)
        self.decision: Decision = CALM
        self.looks = 0
        self._others = others
        rules = [rule for rule in all_rules() if not isinstance(rule, Separation)]
        self._gps = next(rule for rule in rules if isinstance(rule, Gps))
        self._guard = Guard(rules)
        self._apart = Guard([Separation()])

    def motion(self) -> Motion | None:
        """Where it is and goes by its last position, in metres around its home; None while it has none."""
        at = self.vehicle.state.position
        if at is None:
            return None
        x, y = self.sight.frame.xy(at.lon, at.lat)
        return Motion(x, y, at.height_rel_m, at.east_mps, at.north_mps, -at.down_mps)

    @property
    def jumped_from(self) -> Motion | None:
        """Where it may really be while its position is not believed, None while it is."""
        return self._gps.jumped_from

    @property
    def in_doubt(self) -> bool:
        """Whether its position is not to be trusted, now or a moment ago."""
        return self.vehicle.state.boot_s - self._gps.doubted_s < _DOUBT_S

    def view(self) -> View | None:
        """This moment, None while the vehicle has no position."""
        state = self.vehicle.state
        at, me = state.position, self.motion()
        if at is None or me is None:
            return None
        self.power.take(state)
        return View(
            now_s=state.boot_s, state=state, orders=self.orders, policy=self.policy, sight=self.sight,
            power=self.power, me=me,
            home_alt_m=at.alt_amsl_m - at.height_rel_m, link_age_s=now_s() - state.last_packet_s,
            others=tuple(self._others()), holding=self.decision.action in (Action.HOLD, Action.HEIGHT),
            course=going_on(self.helm, me, self.policy, self.sight.frame),
        )  # fmt: skip

    def look(self) -> Decision:
        """What the guard wants now."""
        view = self.view()
        if view is None:
            return CALM
        self.looks += 1
        main, apart = self._guard.step(view), self._apart.step(view)
        keep_apart = apart.action > Action.WARN and main.action < Action.LAND
        self.decision = apart if keep_apart else main
        return self.decision

    async def run(self) -> None:
        """Looks and acts until cancelled."""
        while True:
            await self.vehicle.sleep(LOOK_EVERY_S)
            if self.helm.owner != "launch":
                await self.helm.obey(self.look())
