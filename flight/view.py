"""What the guard looks at: one moment of one vehicle, in metres, with its fleet around it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray
from pymavlink.dialects.v20 import ardupilotmega as mavlink
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from flight.frame import LocalFrame
from flight.orders import Orders
from flight.preflight import Policy
from flight.state import VehicleState

# Half-life of the measured power, in seconds: a gust or a corner is not yet a trend.
_POWER_TIME_S = 20.0


class Motion(NamedTuple):
    """Where something is and goes: metres east, north and above its own home's level; metres per second."""

    x: float
    y: float
    h: float
    vx: float
    vy: float
    vh: float

    def after(self, seconds: float) -> Motion:
        """The same, moved on in a straight line."""
        return self._replace(x=self.x + self.vx * seconds, y=self.y + self.vy * seconds, h=self.h + self.vh * seconds)

    @property
    def speed_mps(self) -> float:
        """Over ground."""
        return math.hypot(self.vx, self.vy)


class Ahead(NamedTuple):
    """A course that an aircraft may be on.

    Attributes:
        knots: Shape (n, 4): seconds, degrees east, degrees north, metres above sea level.
        later_s: How far along it is by now.
        resumed: Whether it is what the aircraft will do when the guard lets it go, not what it does.
        doubt_m: How far from it the aircraft may really be, where its own position is in doubt.
        box: West, south, east and north of it, degrees.
    """

    knots: NDArray[np.float64]
    later_s: float = 0.0
    resumed: bool = False
    doubt_m: float = 0.0
    box: tuple[float, float, float, float] = (-180.0, -90.0, 180.0, 90.0)


class Other(NamedTuple):
    """Another aircraft of ours in the air. `first` has the right of way over us; heights are above sea level.

    `aheads` is where it may be in the next seconds: all of these courses have to be kept clear of. Where there are none
    it flies straight on.
    """

    name: str
    lon: float
    lat: float
    alt_amsl_m: float
    north_mps: float
    east_mps: float
    down_mps: float
    first: bool
    aheads: tuple[Ahead, ...] = ()


@dataclass
class Sight:
    """Geometry of a sortie that does not change: made once, in metres around home.

    Attributes:
        frame: Metres around the sortie's home.
        forbidden: Where no flight may be, or an empty geometry.
        allowed: Where flight must be, or None for everywhere.
        obstacles: Geometries with the height of their top above home.
    """

    frame: LocalFrame
    forbidden: BaseGeometry
    allowed: BaseGeometry | None
    obstacles: tuple[tuple[BaseGeometry, float], ...]

    @classmethod
    def of(cls, orders: Orders, obstacles: Sequence[tuple[BaseGeometry, float]] = ()) -> Sight:
        """From a sortie's fence and the obstacles known (lon, lat geometry, top above the ground at home)."""
        frame = LocalFrame(*orders.sortie.home[:2])
        inside: list[BaseGeometry] = []
        outside: list[BaseGeometry] = []
        for polygon in orders.plan_file.fence_polygons:
            shape = frame.geometry(shapely.Polygon(polygon.vertices))
            (inside if polygon.inclusion else outside).append(shape)
        for circle in orders.plan_file.fence_circles:
            shape = shapely.Point(frame.xy(*circle.center)).buffer(circle.radius_m)
            (inside if circle.inclusion else outside).append(shape)
        allowed = shapely.intersection_all(inside) if inside else None
        known = tuple((frame.geometry(shape), top_m) for shape, top_m in obstacles)
        forbidden = unary_union(outside)
        for geometry in (forbidden, allowed):
            if geometry is not None:
                shapely.prepare(geometry)
        return cls(frame, forbidden, allowed, known)


@dataclass
class Power:
    """Measured electrical power, smoothed; the plan's mean until something is measured."""

    planned_w: float
    measured_w: float = math.nan
    _at_s: float = math.nan

    def take(self, state: VehicleState) -> None:
        """Takes the battery's latest reading."""
        battery = state.battery
        if battery is None or not state.boot_s > (self._at_s if self._at_s == self._at_s else -1.0):
            return
        power_w = battery.voltage_v * battery.current_a
        if power_w != power_w or power_w <= 0:
            return
        step_s = state.boot_s - self._at_s if self._at_s == self._at_s else _POWER_TIME_S
        share = 1 - math.exp(-step_s / _POWER_TIME_S)
        old_w = self.measured_w if self.measured_w == self.measured_w else self.planned_w
        self.measured_w = old_w + share * (power_w - old_w)
        self._at_s = state.boot_s

    @property
    def w(self) -> float:
        """The larger of what is drawn and what was planned: the way home may be harder than this moment."""
        return max(self.planned_w, self.measured_w) if self.measured_w == self.measured_w else self.planned_w


@dataclass
class View:
    """One moment of one vehicle in flight.

    Attributes:
        now_s: The vehicle's clock.
        state: All readings.
        me: Our motion around the sortie's home; `h` above home.
        home_alt_m: Height of home above sea level as the vehicle has it.
        link_age_s: Wall seconds since its last packet.
        others: Our other aircraft in the air.
        holding: Whether the guard holds it already.
        course: Where it goes if nobody interferes, as `flight.foresight` knots; empty for straight on.
    """

    now_s: float
    state: VehicleState
    orders: Orders
    policy: Policy
    sight: Sight
    power: Power
    me: Motion
    home_alt_m: float
    link_age_s: float
    others: Sequence[Other] = field(default_factory=tuple)
    holding: bool = False
    course: tuple[tuple[float, float, float, float], ...] = ()

    def motion_of(self, other: Other) -> Motion:
        """Another aircraft's motion in our frame."""
        x, y = self.sight.frame.xy(other.lon, other.lat)
        return Motion(x, y, other.alt_amsl_m - self.home_alt_m, other.east_mps, other.north_mps, -other.down_mps)

    def knots_of(self, ahead: Ahead) -> NDArray[np.float64]:
        """Another aircraft's course in our frame: seconds, metres east, north, above our home."""
        x, y = self.sight.frame.xys(ahead.knots[:, 1], ahead.knots[:, 2])
        return np.column_stack([ahead.knots[:, 0], x, y, ahead.knots[:, 3] - self.home_alt_m])

    @property
    def coming_home(self) -> bool:
        """On its way down already: nothing is gained by sending it home."""
        return coming_home(self.state, self.orders)


def coming_home(state: VehicleState, orders: Orders, then: str = "") -> bool:
    """Whether a vehicle returns or lands, by mode or by its mission's item; `then` is the mode it goes back to."""
    homeward = ("RTL", "LAND", "SMART_RTL", "AUTO_RTL")
    if state.mode in homeward or then in homeward:
        return True
    seq = state.mission.seq if state.mission else 0
    return (
        "AUTO" in (state.mode, then)
        and 0 < seq < len(orders.mission)
        and orders.mission[seq].command in (mavlink.MAV_CMD_NAV_RETURN_TO_LAUNCH, mavlink.MAV_CMD_NAV_LAND)
    )
