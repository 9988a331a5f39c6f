"""The index pass: every file of a folder is read once; it becomes a frame with features, or is set aside with why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2

from imagery.errors import ImageryError
from imagery.features import Keypoints, find_features
from imagery.files import Progress, quiet
from imagery.photo import Photo, read_photo
from imagery.positions import apply_positions
from imagery.report import SetAside
from imagery.work import DescriptorStore

# What a camera may write; other files in a frames folder (logs, .MRK, .SRT) are no photographs and pass silently.
SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff"}
# Photographs of one folder with fewer distinct positions than this share of them were not taken at these positions:
# the receiver stopped (or a tool wrote one place into all).
DISTINCT_SHARE = 0.1
FEWEST_FROZEN = 3
FROZEN = "nearly all photographs claim one and the same position: the receiver stopped, or a tool wrote it"


@dataclass(frozen=True)
class Index:
    """Frames in order of name, their keypoints in the same order, and what was set aside."""

    photos: tuple[Photo, ...]
    keypoints: tuple[Keypoints, ...]
    set_aside: tuple[SetAside, ...]


def without(index: Index, lost: Mapping[int, str]) -> Index:
    """The index less some frames, which are set aside with why; the store must be bound anew."""
    keep = [number for number in range(len(index.photos)) if number not in lost]
    aside = [SetAside(file=index.photos[number].file, why=why) for number, why in lost.items()]
    return Index(
        tuple(index.photos[number] for number in keep),
        tuple(index.keypoints[number] for number in keep),
        tuple(sorted([*index.set_aside, *aside], key=lambda item: item.file)),
    )


def list_photos(frames_dir: Path) -> list[Path]:
    """Photograph files under a folder, subfolders included, by name.

    Raises:
        ImageryError: No such folder, or no photograph in it.
    """
    if not frames_dir.is_dir():
        raise ImageryError(f"no frames folder at {frames_dir}: give the folder that holds the photographs")
    files = sorted(
        path
        for path in frames_dir.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")
    )
    if not files:
        raise ImageryError(f"no photographs (*.jpg) in {frames_dir}: expected at least two; is it the right folder?")
    return files


def read_index(
    frames_dir: Path,
    store: DescriptorStore,
    captures: Sequence[Path] = (),
    tz: str = "Asia/Shanghai",
    workers: int = 2,
    progress: Progress = quiet,
) -> Index:
    """Reads every photograph of a folder and finds its features.

    Args:
        frames_dir: Folder of photographs, with or without a subfolder a sortie.
        store: Where descriptors go, bound to the frames of the result.
        captures: Capture logs and position files; those beside the frames are found as well.
        tz: Zone of EXIF times without offset.
        workers: Threads (decoder and detector release the interpreter lock).
        progress: Called once a frame.

    Raises:
        ImageryError: Missing or empty folder, or nothing in it that can be used.
    """
    files = list_photos(frames_dir)

    def read(path: Path) -> Photo | SetAside:
        try:
            return read_photo(path, frames_dir, path.read_bytes(), tz)
        except (ImageryError, OSError) as error:
            return SetAside(file=path.relative_to(frames_dir).as_posix(), why=str(error))

    with ThreadPoolExecutor(workers) as pool:
        found = list(pool.map(read, files))
    aside = [item for item in found if isinstance(item, SetAside)]
    photos = thawed(apply_positions([item for item in found if isinstance(item, Photo)], frames_dir, captures, tz))
    photos, more = _without_position(_once(photos, aside))
    aside += more
    return _with_features(photos, aside, store, workers, progress, frames_dir)


def _once(photos: list[Photo], aside: list[SetAside]) -> list[Photo]:
    """One frame per content: a photograph copied into the folder twice counts once."""
    seen: dict[str, str] = {}
    kept = []
    for photo in photos:
        if photo.id in seen:
            aside.append(SetAside(file=photo.file, why=f"the same bytes as {seen[photo.id]}"))
            continue
        seen[photo.id] = photo.file
        kept.append(photo)
    return kept


def thawed(photos: list[Photo]) -> list[Photo]:
    """Photographs without the one position that next to all of them claim."""
    places = [(photo.lon, photo.lat) for photo in photos if photo.lon is not None]
    if len(places) < FEWEST_FROZEN or len(set(places)) > max(1, int(DISTINCT_SHARE * len(places))):
        return photos
    return [replace(photo, lon=None, lat=None, distrust=FROZEN) for photo in photos]


def _without_position(photos: list[Photo]) -> tuple[list[Photo], list[SetAside]]:
    """Sets position-less photographs aside, unless most have none: then the set is solved without GPS."""
    placed = [photo for photo in photos if photo.lon is not None]
    if 2 * len(placed) < len(photos):
        return photos, []
    why = "no position in EXIF, XMP or a capture log, while the other photographs have one"
    return placed, [SetAside(file=photo.file, why=photo.distrust or why) for photo in photos if photo.lon is None]


def _with_features(
    photos: list[Photo],
    aside: list[SetAside],
    store: DescriptorStore,
    workers: int,
    progress: Progress,
    frames_dir: Path,
) -> Index:
    def find(photo: Photo) -> Keypoints | SetAside:
        kept = store.load(photo.id)
        if kept is not None:
            return kept
        try:
            points, descriptors, thumb = find_features(photo.path.read_bytes(), photo.width_px, photo.height_px)
        except (ImageryError, OSError, cv2.error) as error:
            return SetAside(file=photo.file, why=f"does not decode: {error}".splitlines()[0])
        store.save(photo.id, points, descriptors, thumb)
        return points

    results: list[Keypoints | SetAside] = []
    with ThreadPoolExecutor(workers) as pool:
        for result in pool.map(find, photos):
            results.append(result)
            progress(len(results), len(photos), "features")
    good = [number for number, result in enumerate(results) if isinstance(result, Keypoints)]
    aside += [result for result in results if isinstance(result, SetAside)]
    if not good:
        reasons = "; ".join(f"{item.file}: {item.why}" for item in aside[:3])
        raise ImageryError(f"none of the photographs in {frames_dir} can be used: {reasons}")
    store.bind([photos[number].id for number in good])
    keypoints = tuple(result for result in results if isinstance(result, Keypoints))
    return Index(tuple(photos[number] for number in good), keypoints, tuple(sorted(aside, key=lambda item: item.file)))
