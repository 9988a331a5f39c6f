"""All flights of an operation as they see one another: who is in the air, and who may take off."""

from __future__ import annotations

import math

from flight.orders import distance_m, moved
from flight.sortie import SortieFlight
from flight.view import Other

# Take-offs from pads nearer than this follow one another.
PAD_M = 35.0
# A vehicle this far above the height a take-off goes to is out of its way.
ABOVE_M = 15.0
_LAUNCH_M = 10.0
# A vehicle that has been silent for so long cannot be told to give way.
_SILENT_S = 3.0


class Airspace:
    """The operation's flights that are under way, in order of right of way."""

    def __init__(self) -> None:
        self.flights: list[SortieFlight] = []
        self._launching: set[int] = set()

    def add(self, flight: SortieFlight) -> None:
        """A flight begins; later ones give way to earlier ones."""
        self.flights.append(flight)

    def remove(self, flight: SortieFlight) -> None:
        """A flight has ended."""
        self.flights.remove(flight)
        self._launching.discard(id(flight))

    def others(self, flight: SortieFlight) -> list[Other]:
        """Everybody else in the air, as `flight` has to see them."""
        seen = []
        mine = self._right(flight)
        for other in self.flights:
            state = other.vehicle.state
            at = state.position
            if other is flight or at is None or not state.armed or not other.airborne:
                continue
            # Where it is now, not where its last message said; a silent one is not guessed at for ever.
            moved_s = min(max(0.0, state.age_s(at)) * other.vehicle.speedup, 3.0)
            lon, lat = moved(at.lon, at.lat, at.east_mps * moved_s, at.north_mps * moved_s)
            seen.append(
                Other(
                    f"vehicle {other.vehicle.system_id}", lon, lat, at.alt_amsl_m - at.down_mps * moved_s,
                    at.north_mps, at.east_mps, at.down_mps, self._right(other) < mine,
                )
            )  # fmt: skip
        return seen

    def _right(self, flight: SortieFlight) -> tuple[int, float]:
        """Right of way, smaller is first: who cannot be steered, who comes home (the lower one), who began earlier."""
        state = flight.vehicle.state
        silent = state.age_s(state.position) > _SILENT_S
        rank = float(self.flights.index(flight)) if flight in self.flights else math.inf
        if silent or flight.helm.owner not in ("mission", "guard"):
            return 0, rank
        if flight.helm.coming_home:
            return 1, (state.position.height_rel_m if state.position else 0.0) + rank * 1e-3
        return 2, rank

    def clear(self, flight: SortieFlight) -> bool:
        """Whether `flight` may take off now; says yes to one of neighbours at a time."""
        mine = flight.vehicle.state.position
        if mine is None:
            return False
        for other in self.flights:
            at = other.vehicle.state.position
            if other is flight or at is None:
                continue
            here = (mine.lon, mine.lat)
            near = distance_m(here, (at.lon, at.lat)) < PAD_M and at.alt_amsl_m < mine.alt_amsl_m + _LAUNCH_M + ABOVE_M
            inbound = other.helm.coming_home and distance_m(here, other.orders.sortie.home[:2]) < PAD_M
            busy = other.vehicle.state.armed or (id(other) in self._launching and math.isnan(other.landed_s))
            if busy and (near or inbound):
                return False
        self._launching.add(id(flight))
        return True
