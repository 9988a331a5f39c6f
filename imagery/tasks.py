"""A stitch in blocks, for many workers: each block is a plain function of the folder and its number.

Workers share the photographs and the folder of the mosaic (a network drive will do). What a block makes lies in the
work folder under the name of its contents, so a block that comes twice, or that another machine has done, costs
nothing. When all blocks of all kinds are done, `stitch` ties them: it finds features, matches and tiles made, adjusts
the whole at once and assembles the file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import cv2

from imagery.baseline import baseline_crs, mosaic_of
from imagery.errors import ImageryError
from imagery.features import find_features
from imagery.files import Progress, quiet, write_text
from imagery.index import list_photos, read_index
from imagery.matching import match_pairs
from imagery.options import DEFAULTS, StitchOptions
from imagery.photo import read_photo
from imagery.priors import set_up
from imagery.solve import candidate_pairs
from imagery.stitch import mosaic_block, pose_block, work_folder
from imagery.work import DescriptorStore, PairStore

Kind = Literal["features", "match", "poses", "mosaic"]
# One after the other: a kind needs all blocks of the kind before it, or does their work itself.
KINDS: tuple[Kind, ...] = ("features", "match", "poses", "mosaic")
# Poses and heights are solved for the whole at once: one block, whatever the number of workers.
WHOLE: frozenset[Kind] = frozenset({"poses"})


def run_block(
    kind: Kind,
    frames_dir: Path,
    out_tif: Path,
    block: int,
    blocks: int,
    options: StitchOptions = DEFAULTS,
    progress: Progress = quiet,
) -> int:
    """Does one block and marks it done; returns how many photographs, pairs or tiles it made.

    Raises:
        ImageryError: No such block, or what `stitch` would refuse.
    """
    if kind not in KINDS or not 0 <= block < blocks:
        raise ImageryError(f"no block {block} of {blocks} of kind {kind!r}: expected one of {', '.join(KINDS)}")
    work: dict[Kind, Callable[[Path, Path, int, int, StitchOptions, Progress], int]] = {
        "features": feature_block,
        "match": match_block,
        "poses": pose_block,
        "mosaic": mosaic_block,
    }
    made = work[kind](Path(frames_dir), Path(out_tif), block, blocks, options, progress)
    write_text(done_mark(Path(out_tif), kind, block, blocks), f"{made}\n")
    return made


def done_mark(out_tif: Path, kind: Kind, block: int, blocks: int) -> Path:
    """The file that says that a block is done."""
    return work_folder(out_tif) / f"done-{kind}-{block}-of-{blocks}"


def feature_block(
    frames_dir: Path, out_tif: Path, block: int, blocks: int, options: StitchOptions, progress: Progress = quiet
) -> int:
    """Features of every `blocks`-th photograph; unreadable ones are left for `stitch` to set aside by name."""
    cv2.setNumThreads(1)
    store = DescriptorStore(work_folder(out_tif))
    files = list_photos(frames_dir)[block::blocks]
    made = 0
    for done, path in enumerate(files, start=1):
        data = path.read_bytes()
        try:
            photo = read_photo(path, frames_dir, data, options.tz)
            if store.load(photo.id) is None:
                store.save(photo.id, *find_features(data, photo.width_px, photo.height_px))
                made += 1
        except (ImageryError, OSError, cv2.error):
            continue
        progress(done, len(files), "features")
    return made


def match_block(
    frames_dir: Path, out_tif: Path, block: int, blocks: int, options: StitchOptions, progress: Progress = quiet
) -> int:
    """Matches of every `blocks`-th stretch of the candidate pairs."""
    cv2.setNumThreads(1)
    work = work_folder(out_tif)
    store = DescriptorStore(work)
    index = read_index(frames_dir, store, options.captures, options.tz, options.processes, progress)
    crs = baseline_crs(mosaic_of(options.baseline)) if options.baseline else None
    pairs = candidate_pairs(index, store, set_up(index.photos, crs))
    # Neighbouring pairs share photographs, whose descriptors are then read once.
    part = pairs[len(pairs) * block // blocks : len(pairs) * (block + 1) // blocks]
    kept = PairStore(work, [photo.id for photo in index.photos])
    fresh = sum(kept.get(pair) is None for pair in part)
    match_pairs(part, index.keypoints, store, options.processes, progress, kept)
    return fresh
