"""Rendered sheds, roofs, slabs and heaps on real photographs, so that models do not learn the simulator.

The photograph is taken as flat ground of known GSD under a camera of known height: what is put there gets that
camera's lean, its sun's shadows, and the photograph's own contrast. Scenes have the layout of `dataset`.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from affine import Affine
from PIL import Image
from pyproj import CRS, Transformer
from shapely.geometry import Polygon

from simulators.changes import Change, Changes, Placer
from simulators.clutter import Clutter
from simulators.dataset import bent, save_picture, seen_from, write_json
from simulators.errors import SimulatorError
from simulators.ground import Ground, save_ground
from simulators.light import shaded, sunlit_by_strips
from simulators.matching import Look
from simulators.painter import Scene
from simulators.palette import Palette
from simulators.raster import Bytes, Floats, Grid, Noise, fill
from simulators.scenes import FATES, Frame, View, change_record
from simulators.sun import Sun
from simulators.surface import SEASONS
from simulators.things import Building, Car, Heap, Prop, Region, Slab, Things, Wall
from simulators.weathering import quality, weathered

Progress = Callable[[int, int, str], None]
CRS_UTM = CRS.from_epsg(32650)
MIDDLE = (500_000.0, 3_880_000.0)


@dataclass(frozen=True)
class Photograph:
    """A real picture to build on.

    Attributes:
        path: Anything that OpenCV reads.
        place: Splits go by it.
        licence: Carried into scene.json.
        gsd_m: Metres a pixel on the ground.
        height_m: Of the camera above the ground; None for an orthophoto.
        sun: In the picture's frame (azimuth clockwise from its top); drawn at random where None.
    """

    path: Path
    place: str
    licence: str
    gsd_m: float
    height_m: float | None = None
    sun: Sun | None = None


class _Lot:
    """A piece of a photograph as a town that things can be placed in."""

    def __init__(self, picture: Bytes, gsd_m: float, seed: int) -> None:
        rows, cols = picture.shape[:2]
        self.seed = seed
        self.gsd_m = gsd_m
        # The placer keeps 12 m from a town's edge; a photograph is small: 2 m are enough.
        self.size_m = (cols * gsd_m + 20.0, rows * gsd_m + 20.0)
        self.grid = Grid(-cols * gsd_m / 2, rows * gsd_m / 2, gsd_m, cols, rows)
        self.palette = Palette.drawn(np.random.default_rng([seed, 1]))
        self.things = Things()
        self.picture = picture
        self.look = Look.of(picture)
        self.clutters: dict[Clutter, list[Change]] = {}

    @cached_property
    def _rough(self) -> Bytes:
        """1 where crowns, roofs' edges and missing picture make a bad building ground."""
        grey = cv2.cvtColor(self.picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
        small = cv2.resize(grey, None, fx=self.gsd_m / 0.16, fy=self.gsd_m / 0.16, interpolation=cv2.INTER_AREA)
        busy = cv2.GaussianBlur(np.abs(cv2.Laplacian(small, cv2.CV_32F)), (0, 0), 4)
        limit = max(6.0, float(np.percentile(busy, 62)))
        bad = ((busy > limit) | (cv2.GaussianBlur(small, (0, 0), 2) < 8)).astype(np.uint8)
        return cv2.resize(bad, (grey.shape[1], grey.shape[0]), interpolation=cv2.INTER_NEAREST)

    def is_free(self, shape: Polygon, *, roads: bool) -> bool:
        """Whether a shape lies within the picture, on calm ground (`roads`: anywhere)."""
        west, south, east, north = self.grid.bounds
        x0, y0, x1, y1 = shape.bounds
        if x0 < west or y0 < south or x1 > east or y1 > north:
            return False
        row0, row1, col0, col1 = self.grid.window(shape.bounds)
        mask = np.zeros((row1 - row0, col1 - col0), np.uint8)
        fill(mask, self.grid.sub(row0, row1, col0, col1), shape, 1)
        area = max(1, int(mask.sum()))
        if (self.picture[row0:row1, col0:col1].max(axis=2)[mask > 0] < 4).any():
            return False
        return roads or float((self._rough[row0:row1, col0:col1] * mask).sum()) / area < 0.15

    def inside(self, thing: Building | Heap | Slab) -> bool:
        """Nothing stands in a photograph as far as we know, so nothing is extended."""
        return False


def write_composites(
    out_dir: Path, photographs: Sequence[Photograph], count: int, *, seed: int = 0, gsd_m: float = 0.08,
    largest_px: int = 1600, dumps: float = 1.0, progress: Progress | None = None,
) -> list[Path]:  # fmt: skip
    """Writes `count` scenes, the photographs in turn; existing folders are kept.

    Args:
        out_dir: Scenes go to `out_dir/composite-<seed>-<n>`.
        photographs: What to build on.
        count: Scenes.
        seed: Of everything drawn.
        gsd_m: Metres a pixel of the scenes; a coarser photograph keeps its own.
        largest_px: Longest side of a scene.
        dumps: Factor on how many heaps, mounds and litter fields lie in it.
        progress: Called with (done, total, what).

    Raises:
        SimulatorError: No photographs, or one that cannot be read.
    """
    if not photographs:
        raise SimulatorError("composites need photographs, none came: name pictures with their GSD, place and licence")
    out = []
    for number in range(count):
        folder = out_dir / f"composite-{seed:03d}-{number:05d}"
        if not (folder / "scene.json").exists():
            photo = photographs[number % len(photographs)]
            _scene(folder, photo, seed * 100_003 + number, gsd_m, largest_px, dumps)
        out.append(folder)
        if progress:
            progress(number + 1, count, "composites")
    return out


def _crop(
    photo: Photograph, rng: np.random.Generator, gsd_m: float, largest_px: int
) -> tuple[Bytes, float, float, float]:
    """A piece at the scene's GSD; its GSD; and where the photograph's middle lies from the piece's (x, y in m)."""
    image = cv2.imread(str(photo.path), cv2.IMREAD_COLOR)
    if image is None:
        raise SimulatorError(f"{photo.path} is not a picture that can be read: give a JPEG, PNG or 8-bit TIFF")
    image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    scale = photo.gsd_m / gsd_m
    if scale < 0.95:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    else:
        gsd_m = photo.gsd_m
    rows, cols = image.shape[:2]
    wide, tall = min(cols, largest_px) // 2 * 2, min(rows, largest_px) // 2 * 2
    left, top = int(rng.integers(0, cols - wide + 1)), int(rng.integers(0, rows - tall + 1))
    piece = np.ascontiguousarray(image[top : top + tall, left : left + wide])
    return piece, gsd_m, (cols / 2 - left - wide / 2) * gsd_m, -(rows / 2 - top - tall / 2) * gsd_m


def _scene(folder: Path, photo: Photograph, seed: int, gsd_m: float, largest_px: int, dumps: float) -> None:
    rng = np.random.default_rng([seed, 77])
    picture, gsd_m, x, y = _crop(photo, rng, gsd_m, largest_px)
    lot = _Lot(picture, gsd_m, seed)
    size_m = (lot.grid.cols * gsd_m, lot.grid.rows * gsd_m)
    changes = Placer(lot, _wanted(seed, rng, size_m[0] * size_m[1], dumps)).place()  # type: ignore[arg-type]
    fate = rng.choice(["new", "gone", "existing"], len(changes), p=(0.6, 0.15, 0.25))
    stuff = Clutter(seed, float(rng.uniform(0.3, 1.2))).all(lot, [c.polygon for c in changes])  # type: ignore[arg-type]
    view = View(x, y, photo.height_m)
    sun = photo.sun or Sun(float(rng.uniform(0, 360)), float(rng.uniform(35, 60)), float(rng.choice([0.2, 0.6])))
    folder.mkdir(parents=True, exist_ok=True)
    shift = tuple(float(v) for v in np.clip(rng.normal(0, 0.9, 2), -2, 2))
    for name, absent in (("before", "new"), ("after", "gone")):
        here = [c for c, f in zip(changes, fate, strict=True) if f != absent]
        here += [c for c in stuff if FATES[c.day] != absent]
        rgb, heights = _built(lot, here, view, sun, rng)
        if name == "before":
            rgb = bent(rgb, shift, rng)
        if rng.random() < 0.4:
            save_picture(folder, name, weathered(rgb, rng), heights, quality(rng))
            continue
        gain = rng.uniform(0.88, 1.12) * (1 + rng.normal(0, 0.02, 3))
        save_picture(folder, name, np.clip(rgb * gain, 0, 255).astype(np.uint8), heights)
    frame = Frame(view, size_m, gsd_m)
    things = [change_record(c, str(f), frame) for c, f in zip(changes, fate, strict=True)]
    things += [change_record(c, FATES[c.day], frame) for c in stuff]
    write_json(folder / "truth.json", {"units": "px", "things": things})
    write_json(
        folder / "scene.json",
        {
            "schema_version": 1, "place": photo.place, "source": "composite", "gsd_m": gsd_m, "seed": seed,
            "licence": photo.licence, "photograph": photo.path.name, "shift_px": list(shift),
            "lean": photo.height_m is not None,
        },
    )  # fmt: skip


def _wanted(seed: int, rng: np.random.Generator, area_m2: float, dumps: float) -> Changes:
    share = min(1.5, max(0.25, area_m2 / 12_000))

    def some(mean: float) -> int:
        return int(rng.poisson(mean * share))

    return Changes(
        seed, buildings=some(5), foundations=some(1.2), walls=some(1.2), garbage=some(7 * dumps) + 1,
        spoil=some(1.5 * dumps), litter=some(1.2 * dumps), distractors=some(5), smallest_m2=6.0, largest_m2=110.0,
        lenient=True, rich=True,
    )  # fmt: skip


def _built(lot: _Lot, changes: list[Change], view: View, sun: Sun, rng: np.random.Generator) -> tuple[Bytes, Floats]:
    """The picture with things on it, and the height of what each pixel shows."""
    things = Things(
        regions=[c.thing for c in changes if isinstance(c.thing, Region)],
        slabs=[c.thing for c in changes if isinstance(c.thing, Slab)],
        walls=[c.thing for c in changes if isinstance(c.thing, Wall)],
        buildings=[c.thing for c in changes if isinstance(c.thing, Building)],
        heaps=[c.thing for c in changes if isinstance(c.thing, Heap)],
        cars=[c.thing for c in changes if isinstance(c.thing, Car)],
        props=[c.thing for c in changes if isinstance(c.thing, Prop)],
    )
    half = max(lot.size_m) / 2 + 50
    scene = Scene(things, Noise(lot.seed, half), half, 0.0, 0.0, SEASONS["summer"], lot.palette.soil)
    scene.index()
    tile = scene.paint(lot.grid)
    mask = (tile.surface >= 40).astype(np.uint8)
    for region in things.regions:
        fill(mask, lot.grid, region.polygon, 1)
    heights: Floats = np.where(tile.surface >= 40, np.maximum(tile.height, 0), 0).astype(np.float32)
    lit = sunlit_by_strips(heights, lot.grid.gsd_m, sun)
    padded = cv2.copyMakeBorder(heights, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    shown = shaded(lot.look.colours(tile.rgb), padded, lit, lot.grid.gsd_m, sun)
    ground = lot.picture.astype(np.float32) * lot.look.shade(lit, heights, sun, lot.grid.gsd_m)
    # As soft as the photograph, a little more or less, and as grainy.
    soft = max(0.3, lot.look.softness(shown, mask) * float(rng.uniform(0.85, 1.15)))
    own = cv2.GaussianBlur(shown.astype(np.float32), (0, 0), soft) + lot.look.noise(heights.shape, rng)
    cover = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), soft)[..., None]
    mixed = own * cover + ground * (1 - cover)
    rgb = np.clip(mixed, 0, 255).astype(np.uint8)
    if view.height_m is None:
        return rgb, heights
    return _leaning(lot, scene, tile.owner, rgb, heights, view, sun)


def _leaning(
    lot: _Lot, scene: Scene, owner: Floats, rgb: Bytes, heights: Floats, view: View, sun: Sun
) -> tuple[Bytes, Floats]:
    """The flat picture seen from its camera: what stands on it leans outwards and shows its walls."""
    gsd_m = lot.grid.gsd_m
    with tempfile.TemporaryDirectory(prefix="yunxun-composite-") as name:
        folder = Path(name)
        for key, array in (("rgb", rgb), ("dsm", heights), ("owner", owner)):
            np.save(folder / f"{key}.npy", array)
        transform = Affine(gsd_m, 0, MIDDLE[0] + lot.grid.x0, 0, -gsd_m, MIDDLE[1] + lot.grid.y_top)
        wall_rgb, bodies = scene.walls()
        facades = lot.look.colours(wall_rgb.reshape(-1, 1, 3).astype(np.uint8)).reshape(-1, 3).astype(np.float32)
        save_ground(folder, transform, CRS_UTM, sun.toward, gsd_m, facades, bodies, lot.grid)
        ground = Ground(folder)
        lonlat = Transformer.from_crs(CRS_UTM, 4326, always_xy=True).transform(MIDDLE[0] + view.x, MIDDLE[1] + view.y)
        return seen_from(ground, view, lonlat, 0.0, gsd_m, (lot.grid.cols, lot.grid.rows), lot.seed)


def image_sun(sun: Sun, image_up_deg: float) -> Sun:
    """A sun in a picture's frame; `image_up_deg` is the azimuth of the picture's top."""
    return Sun((sun.azimuth_deg - image_up_deg) % 360, sun.elevation_deg, sun.cloud)


def gsd_of(height_m: float, focal_35mm: float, width_px: int) -> float:
    """Ground sample distance of a nadir photograph from its 35 mm equivalent focal length."""
    return height_m * 36.0 / focal_35mm / width_px


# Of the shared sample sets: file pattern, licence, metres a pixel, height, sun in the picture's frame (None: from the
# file's own clock and gimbal, else drawn), and who may see it. GSDs: the sets' own README; suns of the rest by eye.
# Obliques are left out: a single GSD does not hold there.
_SETS: tuple[tuple[str, str, str, float, float | None, Sun | None, str], ...] = (
    ("brighton_beach/*.JPG", "brighton", "BSD-2-Clause", 0.0174, 40.0, None, "train"),
    ("caliterra_construction/*.jpg", "caliterra", "CC0-1.0", 0.04, 90.0, Sun(100, 50, 0.9), "half"),
    ("ortho/5b90*.tif", "oam-5b90", "CC-BY-4.0", 0.1, None, Sun(150, 50, 0.2), "train"),
    ("ortho/5dded*.tif", "oam-5dded", "CC-BY-4.0", 0.1, None, Sun(150, 50, 0.3), "train"),
    ("toledo_two_drones/*.JPG", "toledo", "not stated: test only", 0.12, 120.0, Sun(275, 38, 0.0), "held-out"),
    ("ortho/test_tiled.tif", "test-tiled", "test only", 0.25, None, Sun(150, 50, 0.1), "held-out"),
)


def sample_photographs(data_dir: Path, split: str) -> list[Photograph]:
    """The sample photographs that composites of a split (train or held-out) may be made of.

    `caliterra` is halved by place: frames west of its median longitude train, those east of it test. Photographs whose
    licence is not stated, and the validation scenes, never train.

    Raises:
        SimulatorError: Another split, or none of the sets is there.
    """
    if split not in ("train", "held-out"):
        raise SimulatorError(f"expected split train or held-out, got {split}: choose one")
    out: list[Photograph] = []
    for pattern, place, licence, gsd_m, height_m, sun, whose in _SETS:
        files = sorted(data_dir.glob(pattern))
        if whose == "half" and files:
            west = split == "train"
            files = _half(files, west)
            place = f"{place}-{'west' if west else 'east'}"
        elif whose != split:
            continue
        out += [Photograph(file, place, licence, gsd_m, height_m, sun or _sun_of(file)) for file in files]
    if not out:
        raise SimulatorError(f"no sample photographs for {split} in {data_dir}: give the folder that holds them")
    return out


def _half(files: list[Path], west: bool) -> list[Path]:
    """Files west or east of the median longitude; a strip between belongs to neither, so that they share little."""
    lon = [_longitude(file) for file in files]
    middle = float(np.median(lon))
    return [file for file, x in zip(files, lon, strict=True) if (x < middle - 1e-4 if west else x > middle + 1e-4)]


def _longitude(file: Path) -> float:
    gps = Image.open(file).getexif().get_ifd(0x8825)
    degrees, minutes, seconds = (float(v) for v in gps[4])
    return (degrees + minutes / 60 + seconds / 3600) * (1 if gps[3] == "E" else -1)


def _sun_of(file: Path) -> Sun | None:
    """The sun in a DJI photograph's frame, from its clock, place and gimbal yaw."""
    data = file.read_bytes()[:65536]
    yaw = re.search(rb'GimbalYawDegree="([-+0-9.]+)"', data)
    exif = Image.open(file).getexif()
    gps = exif.get_ifd(0x8825)
    if yaw is None or 0x0132 not in exif or 2 not in gps:
        return None
    lat = sum(float(v) / 60**k for k, v in enumerate(gps[2])) * (1 if gps[1] == "N" else -1)
    lon = _longitude(file)
    # Clocks of these sets keep the local summer time: the zone of the longitude, and an hour.
    local = datetime.strptime(str(exif[0x0132]).strip("\0"), "%Y:%m:%d %H:%M:%S")
    utc = (local - timedelta(hours=round(lon / 15) + 1)).replace(tzinfo=UTC)
    sun = Sun.at(utc, lon, lat)
    return image_sun(sun, float(yaw.group(1))) if sun.elevation_deg > 12 else None
