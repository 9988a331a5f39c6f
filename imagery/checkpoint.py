"""What an adjustment came to, on disk: a run that is killed while it lays heights or the mosaic need not adjust again.

Plain arrays, named after what they were computed from; another photograph, position or option is another name.
"""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagery.adjust import Adjusted
from imagery.bundle import Knowledge, State
from imagery.files import appearing
from imagery.tracks import Ties


def key_of(*parts: bytes | str | float | int | NDArray[Any] | None) -> str:
    """A name for what follows from these and nothing else."""
    digest = hashlib.sha256()
    for part in parts:
        data = np.ascontiguousarray(part).tobytes() if isinstance(part, np.ndarray) else part
        data = data if isinstance(data, bytes) else repr(data).encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:24]


def save_adjusted(path: Path, adjusted: Adjusted) -> None:
    """Writes an adjustment; it appears whole."""
    arrays: dict[str, Any] = {"steps": adjusted.steps, "lens_held": adjusted.lens_held}
    for name in ("state", "ties", "know"):
        part = getattr(adjusted, name)
        arrays.update({f"{name}.{field.name}": getattr(part, field.name) for field in fields(part)})
    with appearing(path) as temporary:
        np.savez(temporary, **arrays)


def load_adjusted(path: Path, know: Knowledge) -> Adjusted | None:
    """An adjustment of an earlier run, or None.

    Args:
        path: Where it would be.
        know: Priors; what is per point in them is replaced.
    """
    if not path.is_file():
        return None
    try:
        with np.load(path) as kept:
            state = State(*(kept[f"state.{field.name}"] for field in fields(State)))
            ties = Ties(*(kept[f"ties.{field.name}"] for field in fields(Ties)))
            known = {field.name: kept[f"know.{field.name}"] for field in fields(Knowledge)}
            return Adjusted(state, ties, replace(know, **known), int(kept["steps"]), bool(kept["lens_held"]))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        path.unlink(missing_ok=True)
        return None


class Rounds:
    """Rounds of an adjustment under way, the latest of which is kept; `forget` once all is done.

    Args:
        path: What the whole adjustment will be kept as.
        know: Priors.
    """

    def __init__(self, path: Path, know: Knowledge) -> None:
        self._path, self._know = path, know

    def last(self) -> tuple[int, Adjusted] | None:
        """The latest round of an earlier run."""
        for path in sorted(self._kept(), reverse=True):
            adjusted = load_adjusted(path, self._know)
            if adjusted is not None:
                return int(path.suffixes[-2].removeprefix(".round")), adjusted
        return None

    def keep(self, done: int, adjusted: Adjusted) -> None:
        """Keeps a round in place of the one before."""
        before = self._kept()
        save_adjusted(self._path.with_suffix(f".round{done}.npz"), adjusted)
        for path in before:
            path.unlink(missing_ok=True)

    def forget(self) -> None:
        """Removes what was kept."""
        for path in self._kept():
            path.unlink(missing_ok=True)

    def _kept(self) -> list[Path]:
        return list(self._path.parent.glob(f"{self._path.stem}.round*.npz"))
