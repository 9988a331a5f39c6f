"""A first look within seconds: small copies laid at their GPS places, long before anything is matched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin

from imagery.errors import ImageryError
from imagery.features import THUMB_PX, decode, thumb_of
from imagery.files import appearing
from imagery.index import list_photos, thawed
from imagery.photo import Photo, read_photo
from imagery.poses import Poses
from imagery.positions import apply_positions
from imagery.scene import View, native_gsd_m, union_bounds, views
from imagery.seams import choose, grid_over
from imagery.single import GUESSED_GSD_M, poses_of_read
from imagery.surface import HeightGrid

# Long side of the preview, and how many photographs it is first made of: 1.3 CPU-s for 18 photographs (2.5 at 1,600 px,
# a tenth of a small stitch).
PREVIEW_PX = 1000
FIRST_FRAMES = 40
# A footprint this many times the usual is an oblique's horizon: not for a first look.
FAR_TIMES = 3.0


def first_look(
    frames_dir: Path, out: Path, captures: Sequence[Path] = (), tz: str = "Asia/Shanghai", most: int = FIRST_FRAMES
) -> bool:
    """Writes `preview.tif` from GPS alone, of evenly chosen photographs; False where none has a position."""
    files = list_photos(frames_dir)
    chosen = [files[int(k)] for k in np.unique(np.linspace(0, len(files) - 1, most).astype(int))]
    photos, thumbs = [], {}
    for path in chosen:
        data = path.read_bytes()
        try:
            photo = read_photo(path, frames_dir, data, tz)
            thumbs[photo.id] = thumb_of(decode(data, THUMB_PX))
        except (ImageryError, OSError):
            continue
        photos.append(photo)
    placed = [photo for photo in thawed(apply_positions(photos, frames_dir, captures, tz)) if photo.lon is not None]
    if not placed:
        return False
    poses = _guessed(placed)
    scene = views(poses, frames_dir, HeightGrid(0.0, 0.0, 1e6, np.zeros((1, 1), np.float32)))
    return write_preview(out, scene, poses.crs, lambda number: thumbs[scene[number].pose.id])


def _guessed(photos: Sequence[Photo]) -> Poses:
    """Poses by GPS; photographs that tell no height get one that makes their pixels `GUESSED_GSD_M` wide."""
    return poses_of_read(list(photos), GUESSED_GSD_M)


def write_preview(
    out: Path,
    scene: Sequence[View],
    crs: str,
    look: Callable[[int], NDArray[np.uint8]],
    surface: HeightGrid | None = None,
) -> bool:
    """Writes a small GeoTIFF of what the views nearest the vertical show, as their small copies have it.

    Args:
        out: Where to.
        scene: The views.
        crs: Of their poses.
        look: A small RGB copy of a view, by number.
        surface: What they are laid on; level ground at 0 when None.
    """
    ground = surface or HeightGrid(0.0, 0.0, 1e6, np.zeros((1, 1), np.float32))
    sizes = np.array([max(v.bounds[2] - v.bounds[0], v.bounds[3] - v.bounds[1]) for v in scene])
    usual = [n for n in range(len(scene)) if sizes[n] <= FAR_TIMES * float(np.median(sizes))]
    some = [scene[n] for n in usual]
    bounds = union_bounds([view.bounds for view in some])
    long_side_m = max(bounds[2] - bounds[0], bounds[3] - bounds[1])
    grid = grid_over(bounds, max(native_gsd_m(some, ground), long_side_m / PREVIEW_PX))
    choice, _ = choose(some, ground, grid, 1, lambda number: look(usual[number]))
    seen = choice.first >= 0
    if not seen.any():
        return False
    profile = {
        "driver": "GTiff", "width": grid.width_px, "height": grid.height_px, "count": 4, "dtype": "uint8", "crs": crs,
        "transform": from_origin(grid.left, grid.top, grid.gsd_m, grid.gsd_m), "compress": "DEFLATE", "zlevel": 1,
        "photometric": "RGB", "alpha": "YES",
    }  # fmt: skip
    with appearing(out) as temporary, rasterio.open(temporary, "w", **profile) as target:
        target.write(np.concatenate([choice.colour.transpose(2, 0, 1), (seen * np.uint8(255))[None]]))
    return True
