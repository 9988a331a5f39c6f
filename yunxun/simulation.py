"""A flight with no aircraft: MAVLink vehicles on a fast clock, and cameras that photograph a town or an orthophoto.

The vehicles' shutters write exposures while they fly; each sortie's photographs are rendered when it has landed,
beside the sorties still in the air.
"""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flight.capturelog import read_captures
from missions.camera import Camera
from missions.plan import Plan, Sortie, read_plan
from yunxun.console import Report
from yunxun.errors import YunxunError
from yunxun.workspace import PatrolFolder

if TYPE_CHECKING:
    from flight.events import FlightEvent, SortieEvent
    from simulators.fleet import SimulatedFleet
    from simulators.ground import Ground
    from simulators.town import TownDay

# A town reaches this far beyond the outermost photograph, so that no frame sees its edge.
TOWN_MARGIN_M = 20.0
_SPEC = re.compile(
    r"town:(?P<seed>\d+)(?::(?P<day>\d+))?(?:@(?P<lon>-?[\d.]+),(?P<lat>-?[\d.]+),(?P<width>[\d.]+)x(?P<height>[\d.]+))?"
)


@dataclass(frozen=True)
class GroundSpec:
    """What simulated cameras see: `town:SEED[:DAY][@LON,LAT,WIDTHxHEIGHT]` or a GeoTIFF orthophoto.

    Attributes:
        seed: The town's seed; None for an orthophoto.
        day: 0 is as it always was; later days have what was built and dumped since, by the town's seed.
        centre: Of the town, lon, lat; None puts it under the plan.
        size_m: East-west and north-south.
        raster: The orthophoto.
    """

    seed: int | None = None
    day: int = 0
    centre: tuple[float, float] | None = None
    size_m: tuple[float, float] | None = None
    raster: Path | None = None

    @classmethod
    def parse(cls, text: str) -> GroundSpec:
        """Reads the command line's form.

        Raises:
            YunxunError: Neither a town nor a file.
        """
        match = _SPEC.fullmatch(text)
        if match is None:
            if not Path(text).is_file():
                raise YunxunError(f"--ground {text!r}: expected town:SEED[:DAY] or a GeoTIFF orthophoto")
            return cls(raster=Path(text))
        placed = match["lon"] is not None
        return cls(
            seed=int(match["seed"]),
            day=int(match["day"] or 0),
            centre=(float(match["lon"]), float(match["lat"])) if placed else None,
            size_m=(float(match["width"]), float(match["height"])) if placed else None,
        )

    def __str__(self) -> str:
        if self.raster is not None:
            return str(self.raster)
        place = ""
        if self.centre is not None and self.size_m is not None:
            place = f"@{self.centre[0]:.8f},{self.centre[1]:.8f},{self.size_m[0]:g}x{self.size_m[1]:g}"
        return f"town:{self.seed}:{self.day}{place}"

    def under(self, plan_dir: Path) -> GroundSpec:
        """A town with no place of its own is put under the plan's routes."""
        if self.raster is not None or self.centre is not None:
            return self
        features = json.loads((plan_dir / "routes.geojson").read_text("utf-8"))["features"]
        points = [p for f in features for p in _positions(f["geometry"]["coordinates"])]
        west, east = min(p[0] for p in points), max(p[0] for p in points)
        south, north = min(p[1] for p in points), max(p[1] for p in points)
        lat = (south + north) / 2
        width = (east - west) * 111_320.0 * math.cos(math.radians(lat)) + 2 * TOWN_MARGIN_M
        height = (north - south) * 110_574.0 + 2 * TOWN_MARGIN_M
        size = (math.ceil(width / 50) * 50.0, math.ceil(height / 50) * 50.0)
        return replace(self, centre=((west + east) / 2, lat), size_m=size)


def _positions(coordinates: Any) -> list[list[float]]:
    if coordinates and isinstance(coordinates[0], (int, float)):
        return [coordinates]
    return [position for part in coordinates for position in _positions(part)]


def town_day(spec: GroundSpec, base_alt_amsl_m: float) -> TownDay:
    """The town of a placed spec, on its day."""
    from simulators.changes import Changes
    from simulators.town import build_town

    assert spec.seed is not None and spec.centre is not None and spec.size_m is not None
    town = build_town(spec.seed, spec.centre, spec.size_m, base_alt_amsl_m)
    return town.day(spec.day, changes=Changes.by_seed(spec.seed) if spec.day else None)


def open_ground(spec: GroundSpec, plan: Plan) -> Ground:
    """Makes the ground ready to be photographed from the plan's height."""
    from simulators.ground import OrthoGround, TownGround

    base_alt_amsl_m = plan.sorties[0].home[2]
    if spec.raster is not None:
        return OrthoGround.open(spec.raster, alt_amsl_m=base_alt_amsl_m)
    return TownGround.of(town_day(spec, base_alt_amsl_m), plan.camera.gsd_m, processes=2)


class Darkroom:
    """Renders a landed sortie's exposures into `frames/<sortie>/`, one sortie after another, beside the flight."""

    def __init__(self, plan: Plan, spec: GroundSpec, cards: Path, frames: Path, report: Report) -> None:
        self._plan, self._cards, self._frames, self._report = plan, cards, frames, report
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="darkroom")
        # Painting the town takes as long as the flight: begin at once.
        self._ground: Future[Ground] = self._pool.submit(open_ground, spec, plan)
        self._rendered: dict[str, Future[list[Path]]] = {}
        self._seed = (spec.seed or 0) * 1000 + spec.day

    def take(self, sortie: Sortie, system_id: int, captures: Path) -> None:
        """Queues a sortie; its photographs are those that its capture log names."""
        self._rendered[sortie.short_id] = self._pool.submit(self._develop, sortie, system_id, captures)

    def _develop(self, sortie: Sortie, system_id: int, captures: Path) -> list[Path]:
        from simulators.exposure import read_exposures
        from simulators.photographer import photograph

        wanted = {capture.file for capture in read_captures(captures)}
        exposures = [e for e in read_exposures(self._cards / str(system_id) / "exposures.csv") if e.file in wanted]
        camera = Camera.model_validate(self._plan.camera.model_dump())
        folder = self._frames / sortie.short_id
        return photograph(
            exposures, self._ground.result(), camera, folder, seed=self._seed, processes=2, progress=self._report
        )

    def finish(self) -> dict[str, int]:
        """Waits for all; photographs by sortie."""
        try:
            self._ground.result()
            return {short: len(future.result()) for short, future in self._rendered.items()}
        finally:
            self._pool.shutdown(cancel_futures=True)


def fly_simulated(
    plan_dir: Path,
    out: PatrolFolder,
    count: int,
    *,
    speedup: float,
    ground: str,
    report: Report,
    start_utc: datetime | None = None,
    on_event: Callable[[FlightEvent], None] | None = None,
) -> dict[str, Any]:
    """Flies a plan with simulated vehicles and photographs it.

    Args:
        plan_dir: Folder of `plan.json`.
        out: Patrol folder that gets `flight/` and `frames/`.
        count: Vehicles; a vehicle is carried to its next sortie's home after landing.
        speedup: Of the simulated clock.
        ground: See `GroundSpec`.
        report: Progress of flight and photographs.
        start_utc: Where the simulated clock starts; the first sortie's time when left out.
        on_event: Listens to the flight.

    Returns:
        `sorties`: id, state, why, photos, duration_s, energy_wh of each; `ground`; `vehicles`.
    """
    from flight.operation import fly_plan, swap_simulated
    from simulators.fleet import SimulatedFleet

    plan = read_plan(plan_dir)
    folder = plan_dir if plan_dir.is_dir() else plan_dir.parent
    spec = GroundSpec.parse(ground).under(folder)
    count = min(count, len(plan.sorties))
    homes = [sortie.home for sortie in plan.sorties[:count]]
    camera = Camera.model_validate(plan.camera.model_dump())
    with tempfile.TemporaryDirectory(prefix="yunxun-cards-") as cards:
        darkroom = Darkroom(plan, spec, Path(cards), out.frames, report)
        fleet = SimulatedFleet(
            count, homes, base_port=free_ports(count), speedup=speedup, start_utc=start_utc or datetime.now(UTC),
            cards_dir=Path(cards), camera=camera,
        )  # fmt: skip
        with fleet:
            result = fly_plan(
                folder, fleet.urls, out.flight, operator="simulation", on_event=on_event,
                on_sortie=lambda event: _on_sortie(event, fleet, darkroom, report, len(plan.sorties)),
                swap_battery=swap_simulated, speedup=speedup,
            )  # fmt: skip
        photos = darkroom.finish()
    sorties = [
        {
            "id": r.sortie_id, "state": r.state, "why": r.why, "duration_s": round(r.duration_s, 1),
            "photos": photos.get(r.sortie_id.rsplit("/", 1)[-1], 0), "energy_wh": r.energy_wh,
        }
        for r in result.sorties
    ]  # fmt: skip
    return {"sorties": sorties, "ground": str(spec), "vehicles": count}


def _on_sortie(event: SortieEvent, fleet: SimulatedFleet, darkroom: Darkroom, report: Report, total: int) -> None:
    if event.phase == "before":
        fleet.move(event.system_id, *event.sortie.home)
    elif event.captures is not None and event.phase in ("landed", "failed"):
        darkroom.take(event.sortie, event.system_id, event.captures)
    if event.phase == "landed":
        report(int(event.sortie.short_id.lstrip("S") or 0), total, "flying")


def free_ports(count: int, first: int = 5760, step: int = 10) -> int:
    """The first base port from which `count` ports, `step` apart, can be opened on loopback.

    Raises:
        YunxunError: None below 60000.
    """
    import socket

    def is_free(port: int) -> bool:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
        return True

    base = first
    while base + count * step < 60000:
        if all(is_free(base + place * step) for place in range(count)):
            return base
        base += count * step
    raise YunxunError(f"no {count} free ports between {first} and 60000")
