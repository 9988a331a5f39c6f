"""Walks a patrol through the stages, in its folder, resuming where it stopped.

A stage runs again only when its inputs changed or its outputs are gone; what it made is recorded in the ledger.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from yunxun import stages
from yunxun.console import Report
from yunxun.errors import YunxunError
from yunxun.workspace import Ledger, PatrolFolder, take_in_frames


@dataclass(frozen=True)
class PatrolInputs:
    """What a patrol is asked to do: an area to plan (and fly, in simulation), or photographs that exist.

    Attributes:
        area: Polygons to plan for.
        frames: A memory card's folder.
        baseline: An earlier patrol's folder or mosaic.
        permits: Permitted building work.
        simulate: Number of simulated vehicles to fly it with; 0 flies nothing.
        speedup: Of the simulated clock.
        aircraft: Profile to plan for.
        gsd_cm: Ground sample distance to plan for.
        ground: What the simulated cameras see ("town:7", "town:7:1" on its second day, or a GeoTIFF).
        sites: Take-off sites.
        dem: Ground heights for the plan.
        start_utc: First take-off; the simulated clock starts there.
        judge: Whether to look for candidates; a first day only makes the baseline.
    """

    area: Path | None = None
    frames: Path | None = None
    baseline: Path | None = None
    permits: Path | None = None
    simulate: int = 0
    speedup: float = 50.0
    aircraft: str = "arducopter"
    gsd_cm: float | None = None
    ground: str = "town:1"
    sites: tuple[tuple[float, float], ...] = ()
    dem: Path | None = None
    start_utc: datetime | None = None
    judge: bool = True


@dataclass
class StageDone:
    """One stage's outcome: its result as JSON, and whether it was done before."""

    name: str
    resumed: bool
    wall_s: float
    result: dict[str, Any]


class PatrolRun:
    """One walk over one patrol's folder."""

    def __init__(
        self,
        folder: PatrolFolder,
        inputs: PatrolInputs,
        report: Report,
        on_stage: Callable[[StageDone], None] = lambda stage: None,
    ) -> None:
        if inputs.area is None and inputs.frames is None and not folder.photos():
            raise YunxunError(f"{folder.root} holds no photographs: give --area (to plan and fly) or --frames (a card)")
        if inputs.baseline is not None:
            stages.baseline_files(inputs.baseline)
        for given in (inputs.area, inputs.permits, inputs.dem):
            if given is not None and not given.is_file():
                raise YunxunError(f"no file at {given}")
        self.folder, self.inputs, self.report = folder, inputs, report
        self.done: list[StageDone] = []
        self._on_stage = on_stage

    def run(self) -> list[StageDone]:
        """Runs what is not done yet: plan, fly (simulated), take in, stitch, detect.

        Raises:
            YunxunError: There is a plan and nothing flown: fly it, then run again.
        """
        folder, inputs = self.folder, self.inputs
        if inputs.frames is not None:
            take_in_frames(inputs.frames, folder.frames)
        folder.ensure_record(baseline=str(inputs.baseline) if inputs.baseline else None)
        ledger = Ledger(folder.jobs)
        try:
            if inputs.area is not None:
                self._stage(ledger, "plan", self._plan_key(), [folder.plan], self._plan)
            if inputs.simulate:
                self._stage(ledger, "fly", stages.content_key(folder.plan, inputs.ground), [folder.frames], self._fly)
            photos = folder.photos()
            if not photos:
                return self.done
            key = stages.content_key(
                [(str(p.relative_to(folder.root)), p.stat().st_size) for p in photos], str(inputs.baseline or "")
            )
            outputs = [folder.mosaic, folder.report, folder.poses, folder.dsm]
            self._stage(ledger, "stitch", key, outputs, self._stitch)
            if inputs.judge:
                key = stages.content_key(key, folder.mosaic, _raster_of(inputs.baseline), inputs.permits)
                self._stage(ledger, "detect", key, [folder.sites], self._detect)
        finally:
            ledger.close()
        return self.done

    def _stage(
        self, ledger: Ledger, name: str, key: str, outputs: Sequence[Path], work: Callable[[], dict[str, Any]]
    ) -> None:
        recorded = ledger.result(name, key)
        if recorded is not None and all(path.exists() for path in outputs):
            self._add(StageDone(name, True, 0.0, json.loads(recorded)))
            return
        started = time.monotonic()
        result = work()
        wall_s = time.monotonic() - started
        ledger.finish(name, key, wall_s, json.dumps(result, default=str))
        self._add(StageDone(name, False, wall_s, result))

    def _add(self, stage: StageDone) -> None:
        self.done.append(stage)
        self._on_stage(stage)

    def _plan_key(self) -> str:
        i = self.inputs
        return stages.content_key(i.area, i.aircraft, i.gsd_cm, i.sites, i.dem, i.simulate, self.folder.root.name)

    def _plan(self) -> dict[str, Any]:
        from missions.planner import PlanRequest, export_plan, plan_patrol

        i = self.inputs
        if self.folder.photos():
            raise YunxunError(f"{self.folder.root} was flown already on another plan: use a new folder for new inputs")
        assert i.area is not None
        request = PlanRequest(
            area=i.area,
            dem=i.dem,
            sites=i.sites,
            aircraft=i.aircraft,
            gsd_m=None if i.gsd_cm is None else i.gsd_cm / 100.0,
            crews=max(i.simulate, 1),
            patrol_id=self.folder.ensure_record().patrol_id,
            start_utc=i.start_utc or datetime.now(UTC),
        )
        return export_plan(plan_patrol(request, self.report), self.folder.root).model_dump(mode="json")

    def _fly(self) -> dict[str, Any]:
        from yunxun.simulation import fly_simulated

        i = self.inputs
        return fly_simulated(
            self.folder.root, self.folder, i.simulate, speedup=i.speedup, ground=i.ground, report=self.report,
            start_utc=i.start_utc,
        )  # fmt: skip

    def _stitch(self) -> dict[str, Any]:
        return stages.stitch_patrol(self.folder, self.inputs.baseline, self.report).model_dump(mode="json")

    def _detect(self) -> dict[str, Any]:
        from inference.detect import write_sites

        found = stages.detect_in_patrol(self.folder, self.inputs.baseline, self.inputs.permits, self.report)
        write_sites(found, self.folder.sites)
        return found.model_dump(mode="json")


def _raster_of(baseline: Path | None) -> Path | None:
    return PatrolFolder(baseline).mosaic if baseline is not None and baseline.is_dir() else baseline
