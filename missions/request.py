"""What is asked of the planner, and its inputs once read and checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import shapely
from shapely.geometry.base import BaseGeometry

from missions.aircraft import AircraftProfile, load_profile
from missions.airspace import LEGAL_CEILING_AGL_M, Airspace, Clearances
from missions.area import LARGEST_M2, read_area
from missions.corridor import Stretch
from missions.coverage import Strip
from missions.energy import FlightModel
from missions.errors import MissionsError
from missions.frame import LocalFrame
from missions.plan import LonLat, Refusal
from missions.roster import LOCAL, Roster, crews_of, read_roster, shifts_of
from missions.targets import Product, in_metres, read_targets
from missions.terrain import Terrain
from missions.views import Shot
from missions.zones import Obstacle, Zone, read_obstacles, read_zones

DEFAULT_HEIGHT_AGL_M = 100.0
# Lower than this, trees and masts are in the way and the lanes of one battery cover next to nothing.
LOWEST_HEIGHT_AGL_M = 15.0
# DJI's own least height before an aircraft flies to its route: below it people stand and trees.
LOWEST_CLIMB_OUT_M = 20.0
# A timed zone counts when it is active within this time of the plan's start.
_DAY = timedelta(hours=12)
_LEAST_FREE = timedelta(hours=3)
# Of a crew's shift, the part in which it flies along lanes: 0.61 over a day of the city (benchmarks/planner.py).
_MAPPING_SHARE = 0.6


@dataclass(frozen=True)
class PlanRequest:
    """A patrol to plan.

    Attributes:
        area: File of polygons to cover (product mosaic), lines (corridor) or places (inspection); None: `points`,
            `cases` or `grid` alone say what to photograph.
        zones: File of zones, or None.
        obstacles: File of obstacles, or None.
        grid: File of grid cells, or None; where given, only the part of the area inside them is planned.
        dem: Raster of ground heights above sea level, or None for flat ground.
        sites: Take-off points (lon, lat); none: they are chosen.
        aircraft: Profile name.
        gsd_m: Ground sample distance; None: whatever 100 m above ground gives.
        front_overlap: Share (0..1) of one photograph seen by the next.
        side_overlap: Share of one strip seen by the next.
        margin_m: Ground photographed around the area.
        crews: Crews that fly at the same time.
        wind_mps: Wind speed.
        wind_from_deg: Where it comes from.
        patrol_id: Identity of the patrol; None: a ULID is minted.
        start_utc: First take-off; None: now.
        objective: How sweep directions are judged (`missions.direction.OBJECTIVES`).
        clearances: Distances kept from zones and obstacles.
        battery_health: Share of the nominal capacity that the batteries still hold.
        roster: File of the brigade (`missions.roster`), or None; where given, it makes the crews and their day.
        points: Ledger of listed places (`missions.points`), each photographed once, or None.
        cases: Cases (same kinds of file): open ones are photographed again, all tell where much is found.
        product: `mosaic` covers polygons; `corridor` follows lines; `inspection` looks at places from three distances.
        width_m: Of a corridor, both sides together.
        due_only: Whether cells and places whose interval has not passed are left out.
        on: The day that "due" is judged by; None: that of the first take-off (local date).
        follow_surface: Whether the aircraft follows the surface below it by its own sensors (WPML files say so).
        climb_out_m: Height above the ground up to which the aircraft climbs straight; it goes on climbing on course to
            its first lane, and comes home the same way. None: straight up to the lanes' height.
        day_km2: What a day reaches, for choosing cells; None: by the roster's shifts, else without limit.
    """

    area: Path | None = None
    zones: Path | None = None
    obstacles: Path | None = None
    grid: Path | None = None
    dem: Path | None = None
    sites: tuple[LonLat, ...] = ()
    aircraft: str = "arducopter"
    gsd_m: float | None = None
    front_overlap: float = 0.75
    side_overlap: float = 0.65
    margin_m: float = 0.0
    crews: int = 1
    wind_mps: float = 0.0
    wind_from_deg: float = 0.0
    patrol_id: str | None = None
    start_utc: datetime | None = None
    objective: str = "both"
    clearances: Clearances = field(default_factory=Clearances)
    battery_health: float = 1.0
    roster: Path | None = None
    points: Path | None = None
    cases: Path | None = None
    product: Product = "mosaic"
    width_m: float = 60.0
    due_only: bool = False
    on: date | None = None
    day_km2: float | None = None
    follow_surface: bool = False
    climb_out_m: float | None = None

    @property
    def source(self) -> str:
        """Where the wish comes from, for messages."""
        return str(self.area or self.points or self.cases or self.grid)


@dataclass(frozen=True)
class Task:
    """A request with its files read and its numbers checked; geometry in the metric frame.

    Attributes:
        request: As asked.
        profile: The aircraft.
        model: Time and energy in the wind.
        frame: The metric frame.
        area: Polygons to see, metres, the margin included.
        airspace: Zones and obstacles, metres.
        zones: As read, those active at the time.
        strip: Lanes at the wanted resolution.
        start_utc: First take-off.
        terrain: Ground heights, or None for flat ground.
        roster: The brigade, or None.
        timed: No-fly zones that hold for part of the day only, which the brigade's timetable avoids.
        later: Zones that begin to hold later in the day than is looked at.
        stretches: Pieces of corridors, each swept in its own direction; none where `area` is swept as a whole.
        shots: Photographs to take from standstills.
        notes: What was left out on reading, and why.
        reasons: Why these cells were chosen.
    """

    request: PlanRequest
    profile: AircraftProfile
    model: FlightModel
    frame: LocalFrame
    area: BaseGeometry
    airspace: Airspace
    zones: tuple[Zone, ...]
    obstacles: tuple[Obstacle, ...]
    strip: Strip
    start_utc: datetime
    terrain: Terrain | None = None
    roster: Roster | None = None
    timed: tuple[Zone, ...] = ()
    later: tuple[Zone, ...] = ()
    stretches: tuple[Stretch, ...] = ()
    shots: tuple[Shot, ...] = ()
    notes: tuple[Refusal, ...] = ()
    reasons: tuple[str, ...] = ()


def _check_numbers(request: PlanRequest) -> None:
    for name, value in (("front", request.front_overlap), ("side", request.side_overlap)):
        if not 0 <= value <= 0.95:
            raise MissionsError(f"{name} overlap is {value:g}: expected a share from 0 to 0.95, such as 0.75")
    if request.crews < 1:
        raise MissionsError(f"crews is {request.crews}: expected at least 1")
    if not 0 <= request.margin_m <= 5000:
        raise MissionsError(f"margin is {request.margin_m:g} m: expected 0 to 5000")
    if request.climb_out_m is not None and not LOWEST_CLIMB_OUT_M <= request.climb_out_m <= LEGAL_CEILING_AGL_M:
        raise MissionsError(
            f"climb-out height is {request.climb_out_m:g} m: expected {LOWEST_CLIMB_OUT_M:g} to "
            f"{LEGAL_CEILING_AGL_M:g}, 20 m above everything that stands about the take-off sites"
        )
    if not 0.3 < request.battery_health <= 1:
        raise MissionsError(f"battery health is {request.battery_health:g}: expected 0.3 to 1; retire worse ones")


def flight_height_m(profile: AircraftProfile, gsd_m: float | None) -> float:
    """Height above ground for a ground sample distance.

    Raises:
        MissionsError: The height would be unlawful or too low; the message says what this camera can do.
    """
    camera = profile.camera
    if gsd_m is None:
        return DEFAULT_HEIGHT_AGL_M
    height_m = camera.height_for_gsd_m(gsd_m) if gsd_m > 0 else 0.0
    if LOWEST_HEIGHT_AGL_M <= height_m <= LEGAL_CEILING_AGL_M:
        return height_m
    finest, coarsest = camera.gsd_at_m(LOWEST_HEIGHT_AGL_M), camera.gsd_at_m(LEGAL_CEILING_AGL_M)
    raise MissionsError(
        f"{gsd_m * 100:g} cm per pixel would need {height_m:.0f} m above ground with {profile.title}: "
        f"between {LOWEST_HEIGHT_AGL_M:g} and {LEGAL_CEILING_AGL_M:g} m it gives {finest * 100:.1f} to "
        f"{coarsest * 100:.1f} cm; ask for that, or choose another aircraft"
    )


def _within(request: PlanRequest, frame: LocalFrame, place: BaseGeometry) -> BaseGeometry:
    """The area inside the grid, with its margin."""
    if request.grid is not None and request.area is not None and not request.due_only and not place.is_empty:
        cells = frame.metric(read_area(request.grid))
        place = place.intersection(cells)
        if place.area < 1.0:
            raise MissionsError(
                f"{request.area} and the cells of {request.grid} do not meet: give the grid of this area"
            )
    if request.due_only and request.area is not None and request.grid is not None and place.area < 1.0:
        raise MissionsError(f"no cell of {request.grid} that is due lies in {request.area}: choose another day or area")
    return shapely.buffer(place, request.margin_m, quad_segs=4) if request.margin_m and place.area else place


def _reach_m2(request: PlanRequest, roster: Roster | None, profile: AircraftProfile, lane_m: float) -> float:
    """What a day reaches."""
    if request.day_km2 is not None:
        if request.day_km2 <= 0:
            raise MissionsError(f"a day's reach is {request.day_km2:g} km2: expected more than nothing")
        return request.day_km2 * 1e6
    if roster is None:
        return LARGEST_M2
    shifts = [shift for crew in crews_of(roster, profile) for shift in crew.shifts]
    seconds = sum((end - begin).total_seconds() for begin, end in shifts)
    return _MAPPING_SHARE * seconds * profile.cruise_mps * lane_m


def _check_sites(request: PlanRequest, frame: LocalFrame, area: BaseGeometry) -> None:
    for lon, lat in request.sites:
        if abs(lat) > 90 or abs(lon) > 180:
            raise MissionsError(f"site {lon:g},{lat:g} is nowhere on Earth: give LON,LAT in degrees, longitude first")
        away_m = shapely.distance(shapely.Point(frame.to_xy([(lon, lat)])[0]), area)
        if not away_m < 20_000:
            raise MissionsError(
                f"site {lon:g},{lat:g} is {away_m / 1000:,.0f} km from the area: give LON,LAT, longitude first"
            )


def read_task(request: PlanRequest, within: timedelta = _DAY) -> Task:
    """Reads and checks everything a request names.

    Args:
        request: As asked.
        within: Time after the first take-off in which zones that hold for a time count.

    Raises:
        MissionsError: Anything that cannot be planned with; one line with what, where and the remedy.
    """
    _check_numbers(request)
    profile = load_profile(request.aircraft)
    if request.follow_surface and (profile.dji is None or not profile.terrain_following):
        raise MissionsError(f"{profile.title} cannot follow the surface by itself: give ground heights with --dem")
    height_m = flight_height_m(profile, request.gsd_m)
    strip = Strip.of(profile.camera, height_m, request.front_overlap, request.side_overlap)
    roster = read_roster(request.roster) if request.roster is not None else None
    start = _start(request, roster)
    day = request.on or (start + LOCAL).date()
    targets = read_targets(request, day, _reach_m2(request, roster, profile, strip.lane_m))
    everything = targets.everything()
    frame = LocalFrame.about(everything)
    wanted = in_metres(targets, frame, profile.camera, height_m, request.width_m)
    place = _within(request, frame, wanted.area)
    _check_sites(request, frame, frame.metric(everything))
    every = read_zones(request.zones)
    zones = tuple(zone for zone in every if zone.active(start, start + within))
    timed = tuple(zone for zone in zones if roster is not None and _leaves_time(zone, start))
    closed = tuple(zone for zone in zones if zone not in timed)
    obstacles = read_obstacles(request.obstacles)
    wind = (request.wind_mps, request.wind_from_deg)
    if roster is not None and roster.wind is not None and request.wind_mps == 0:
        wind = (roster.wind.speed_mps, roster.wind.from_deg)
    return Task(
        request=request,
        profile=profile,
        model=FlightModel(profile, *wind),
        frame=frame,
        area=place,
        airspace=Airspace(closed, obstacles, frame, request.clearances),
        zones=closed,
        obstacles=obstacles,
        strip=strip,
        start_utc=start,
        terrain=Terrain.open(request.dem) if request.dem is not None else None,
        roster=roster,
        timed=timed,
        later=tuple(zone for zone in every if zone not in zones and zone.active(start, start + _DAY)),
        stretches=wanted.stretches,
        shots=wanted.shots,
        notes=wanted.notes,
        reasons=targets.reasons,
    )


def _start(request: PlanRequest, roster: Roster | None) -> datetime:
    """First take-off: as asked, else when the brigade's first shift begins, else now."""
    start = request.start_utc
    if start is None and roster is not None:
        begins = [begin for person in roster.people for begin, _ in shifts_of(person, roster.date)[:1]]
        start = min(begins, default=None)
    start = start or datetime.now(UTC)
    if start.tzinfo is None:
        raise MissionsError(f"start time {start} has no time zone: give it in UTC, with Z")
    return start.astimezone(UTC)


def _leaves_time(zone: Zone, start: datetime) -> bool:
    """Whether a no-fly zone leaves at least three hours of the day, enough to fly its place before or after."""
    if zone.kind != "no-fly":
        return False
    before = (zone.from_utc - start) if zone.from_utc is not None else timedelta(0)
    after = (start + _DAY - zone.to_utc) if zone.to_utc is not None else timedelta(0)
    return max(before, after) >= _LEAST_FREE
