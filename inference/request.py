"""What the judge is asked: the files of one patrol, the earlier day, and how much a reviewer will look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class BaselineFiles:
    """An earlier day: a mosaic alone will do; its surface gives heights; frames more evidence."""

    mosaic: Path
    dsm: Path | None = None
    poses: Path | None = None
    frames_dir: Path | None = None
    patrol_id: str | None = None


@dataclass(frozen=True)
class Budget:
    """How much the reviewer will be asked to look at.

    Attributes:
        thresholds: Least probability by family; the model card's where not given.
        max_per_km2: At most so many candidates a square kilometre and family, the surest kept.
        max_candidates: At most so many in the patrol and family.
    """

    thresholds: dict[str, float] = field(default_factory=dict)
    max_per_km2: float | None = None
    max_candidates: int | None = None


@dataclass(frozen=True)
class DetectRequest:
    """One patrol to judge.

    Attributes:
        mosaic: Today's mosaic (8-bit RGB, georeferenced).
        poses: `poses.json`, or None: no photographs are named.
        dsm: Today's surface, or None: no heights.
        frames_dir: Where the poses' files lie.
        baseline: The earlier day, or None: no change is looked for.
        permits: Permits (GeoJSON), or None.
        registered: Outlines of buildings or plots on record (GeoJSON); with it and no baseline, what stands outside
            them is proposed.
        patrol_id: Id of the patrol.
        budget: What to keep.
        models_dir: A registry of models learnt later; the packaged ones when None.
        code_set: Name or file of the mapping from label to matter code.
        every: Weigh unlikely proposals, too, with all their looks: for fitting probabilities, not for serving.
    """

    mosaic: Path
    poses: Path | None = None
    dsm: Path | None = None
    frames_dir: Path | None = None
    baseline: BaselineFiles | None = None
    permits: Path | None = None
    registered: Path | None = None
    patrol_id: str | None = None
    budget: Budget = field(default_factory=Budget)
    models_dir: Path | None = None
    code_set: str | Path = "gbt47678_5_2026"
    every: bool = False
