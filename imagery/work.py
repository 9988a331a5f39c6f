"""What survives a kill: features, matches and heights of pairs lie in a work folder until the mosaic is whole.

Everything is keyed by what it was made from (the photographs' hashes, the poses), appears whole or not at all, and is
reused by the next run over the same folder; a crash costs what was in hand, seconds of it.
"""

from __future__ import annotations

import threading
import time
import uuid
import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imagery.features import Keypoints
from imagery.files import appearing

# Matches are written this often: what a kill may cost.
FLUSH_S = 20.0
# Changes when features or matching change: older work is not reused.
FORMAT = 3


class DescriptorStore:
    """Features on disk by photograph, descriptors of a bounded number of frames in memory.

    Args:
        folder: The work folder.
        in_memory: Frames whose descriptors are held (0.8 MB each).
    """

    def __init__(self, folder: Path, in_memory: int = 250) -> None:
        self._folder = folder / f"features-{FORMAT}"
        self._in_memory = in_memory
        self._cache: OrderedDict[int, NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()
        self._ids: list[str] = []
        self._folder.mkdir(parents=True, exist_ok=True)

    def save(self, photo_id: str, points: Keypoints, descriptors: NDArray[np.uint8], thumb: NDArray[np.uint8]) -> None:
        """Keeps a photograph's features: (n, 128) uint8 descriptors, and its small RGB copy."""
        kept = {"xy": points.xy, "rgb": points.rgb, "descriptors": descriptors, "thumb": thumb}
        with appearing(self._folder / f"{photo_id}.npz") as temporary:
            np.savez(temporary, sigma_px=points.sigma_px, **kept)  # type: ignore[arg-type]

    def load(self, photo_id: str) -> Keypoints | None:
        """A photograph's keypoints where an earlier run left them."""
        path = self._folder / f"{photo_id}.npz"
        if not path.is_file():
            return None
        try:
            with np.load(path) as kept:
                return Keypoints(kept["xy"], kept["rgb"], float(kept["sigma_px"]))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return None

    def bind(self, photo_ids: Sequence[str]) -> None:
        """Says which photographs the frames 0, 1, ... are."""
        with self._lock:
            self._ids = list(photo_ids)
            self._cache.clear()

    def thumb(self, frame: int) -> NDArray[np.uint8]:
        """The frame's small RGB copy, (h, w, 3)."""
        with np.load(self._folder / f"{self._ids[frame]}.npz") as kept:
            return np.asarray(kept["thumb"], np.uint8)

    def get(self, frame: int) -> NDArray[np.float32]:
        """The frame's descriptors as unit vectors, (n, 128) float32."""
        with self._lock:
            if frame in self._cache:
                self._cache.move_to_end(frame)
                return self._cache[frame]
        with np.load(self._folder / f"{self._ids[frame]}.npz") as kept:
            vectors = kept["descriptors"].astype(np.float32)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        with self._lock:
            self._cache[frame] = vectors
            while len(self._cache) > self._in_memory:
                self._cache.popitem(last=False)
        return vectors


class PairStore:
    """Matches of pairs by the photographs' hashes; pairs that did not verify are kept as empty."""

    def __init__(self, folder: Path, photo_ids: Sequence[str]) -> None:
        self._folder = folder / f"pairs-{FORMAT}"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._ids = [photo_id[:20] for photo_id in photo_ids]
        self._fresh: dict[str, NDArray[np.int32]] = {}
        self._flushed = time.monotonic()
        self._known: dict[str, NDArray[np.int32]] = {}
        for path in sorted(self._folder.glob("*.npz")):
            try:
                with np.load(path) as kept:
                    self._known.update({name: kept[name] for name in kept.files})
            except (OSError, ValueError, zipfile.BadZipFile):
                path.unlink(missing_ok=True)

    def _key(self, pair: tuple[int, int]) -> str:
        return f"{self._ids[pair[0]]}-{self._ids[pair[1]]}"

    def get(self, pair: tuple[int, int]) -> NDArray[np.int32] | None:
        """(k, 2) matches of a pair, empty where it did not verify, None where it was never tried."""
        return self._known.get(self._key(pair))

    def put(self, pair: tuple[int, int], index: NDArray[np.int32]) -> None:
        """Keeps a pair's matches; written out every `FLUSH_S`."""
        self._fresh[self._key(pair)] = index
        if time.monotonic() - self._flushed > FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Writes out what is not yet on disk."""
        if self._fresh:
            # Several workers may match into one folder.
            with appearing(self._folder / f"{uuid.uuid4().hex}.npz") as temporary:
                np.savez(temporary, **self._fresh)  # type: ignore[arg-type]
            self._fresh = {}
        self._flushed = time.monotonic()
