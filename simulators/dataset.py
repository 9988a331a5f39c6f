"""Folders to train and test on: small towns on two days with truth in pixels, as orthophotos or with lean.

One folder a scene: scene.json, before.jpg, after.jpg, height_before.tif, height_after.tif, truth.json, all on one grid.
"""

from __future__ import annotations

import json
import multiprocessing
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from missions.camera import Camera
from simulators.changes import Changes, Placer
from simulators.clutter import Clutter
from simulators.exposure import Exposure
from simulators.files import replacing
from simulators.frame import Darkroom, Optics
from simulators.ground import Ground, town_ground
from simulators.lens import Lens
from simulators.raster import Bytes, Floats
from simulators.scenes import Frame, View, change_record, standing, stuff_records
from simulators.sun import Sun
from simulators.town import TownDay, build_town
from simulators.weathering import quality, weathered

Rng = np.random.Generator
Progress = Callable[[int, int, str], None]
SEASONS = ("spring", "summer", "summer", "autumn", "autumn", "winter", "drought")
# Height seam between the two days' pictures: an orthophoto without lean, or a view from this high (m).
LOWEST_VIEW_M, HIGHEST_VIEW_M = 90.0, 260.0


def write_change_pairs(
    out_dir: Path,
    seeds: Iterable[int],
    *,
    size_m: float = 160.0,
    gsd_m: float = 0.08,
    one_day: bool = False,
    rich: bool = True,
    processes: int = 1,
    progress: Progress | None = None,
) -> list[Path]:
    """Writes a scene folder for every seed; existing ones are kept, so that a broken run resumes.

    Args:
        out_dir: Scenes go to `out_dir/town-<seed>`.
        seeds: Of towns; keep training and held-out towns in ranges of their own.
        size_m: Side of a scene.
        gsd_m: Metres a pixel.
        one_day: Leaves the earlier day out (waste tiles).
        rich: With `clutter`, other roofs, `waste`'s dumps, turned crowns and `weathering`.
        processes: Worker processes.
        progress: Called with (done, total, what).

    Returns:
        The scene folders.
    """
    jobs = [(out_dir / f"town-{seed:05d}", seed, size_m, gsd_m, one_day, rich) for seed in seeds]
    todo = [job for job in jobs if not (job[0] / "scene.json").exists()]
    done = len(jobs) - len(todo)
    if processes <= 1:
        for job in todo:
            write_scene(*job)
            done += 1
            if progress:
                progress(done, len(jobs), "scenes")
    else:
        with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
            for _ in pool.map(_write_scene, todo):
                done += 1
                if progress:
                    progress(done, len(jobs), "scenes")
    return [job[0] for job in jobs]


def write_waste_tiles(out_dir: Path, seeds: Iterable[int], **options: Any) -> list[Path]:
    """One-day scenes with heaps, litter and spoil; options as `write_change_pairs`."""
    return write_change_pairs(out_dir, seeds, one_day=True, **options)


def _write_scene(job: tuple[Path, int, float, float, bool, bool]) -> None:
    cv2.setNumThreads(1)
    write_scene(*job)


def write_scene(folder: Path, seed: int, size_m: float, gsd_m: float, one_day: bool, rich: bool = True) -> None:
    """One scene: what came, what went, what stayed, in pixels of the later picture."""
    rng = np.random.default_rng([seed, 321])
    town = build_town(seed, size_m=(size_m, size_m))
    clutter = None
    if rich:
        town, clutter = town.restyled(seed), Clutter(seed, float(rng.uniform(0.5, 1.6)))
    changes = Placer(town, _busy(seed, rng, size_m, rich)).place()
    # Some of what was placed stands on both days, some only on the first.
    fate = rng.choice(["new", "gone", "existing"], len(changes), p=(0.62, 0.18, 0.2))
    before = [c for c, f in zip(changes, fate, strict=True) if f != "new"]
    after = [c for c, f in zip(changes, fate, strict=True) if f != "gone"]
    season = str(rng.choice(SEASONS))
    other = season if rng.random() < 0.5 else str(rng.choice(SEASONS))
    folder.mkdir(parents=True, exist_ok=True)
    view = _view(rng, size_m)
    day = town.day_with(1, after, sun=_sun(rng), season=season, clutter=clutter)
    _picture(day, view, gsd_m, folder, "after", rng, None, rich)
    shift: tuple[float, ...] = (0.0, 0.0)
    first: TownDay | None = None
    if not one_day:
        shift = tuple(float(v) for v in np.clip(rng.normal(0, 0.9, 2), -2, 2))
        first = town.day_with(0, before, sun=_sun(rng), season=other, clutter=clutter)
        near = _view(rng, size_m) if rng.random() < 0.7 else view
        if view.height_m is None:
            near = view
        _picture(first, near, gsd_m, folder, "before", rng, shift, rich)
    frame = Frame(view, (size_m, size_m), gsd_m)
    things = [change_record(c, str(f), frame) for c, f in zip(changes, fate, strict=True)]
    things += standing(town, day, frame) + stuff_records(day, first, frame)
    write_json(folder / "truth.json", {"units": "px", "things": things})
    write_json(
        folder / "scene.json",
        {
            "schema_version": 1, "place": f"town-{seed:05d}", "source": "simulator", "gsd_m": gsd_m, "seed": seed,
            "licence": "Apache-2.0", "shift_px": list(shift), "season": [other, season],
            "lean": view.height_m is not None, "rich": rich,
        },
    )  # fmt: skip


def _busy(seed: int, rng: Rng, size_m: float, rich: bool) -> Changes:
    """Changes in proportion to the scene: about one thing every 900 m²."""
    share = (size_m / 160) ** 2

    def some(mean: float) -> int:
        return int(rng.poisson(mean * share))

    return Changes(
        seed, buildings=some(5), permitted=some(1), extensions=some(4 if rich else 2), foundations=some(1.2),
        walls=some(2 if rich else 0.7),
        garbage=some(7) + 1, spoil=some(1.5), litter=some(1.5), distractors=some(7), lenient=True, smallest_m2=6.0,
        largest_m2=160.0, rich=rich,
    )  # fmt: skip


def _sun(rng: Rng) -> Sun:
    return Sun(float(rng.uniform(90, 270)), float(rng.uniform(28, 68)), float(rng.choice([0, 0, 0.15, 0.5, 0.9])))


def _view(rng: Rng, size_m: float) -> View:
    if rng.random() < 0.4:
        return View(0, 0, None)
    reach = size_m / 2
    return View(float(rng.uniform(-reach, reach)), float(rng.uniform(-reach, reach)),
                float(rng.uniform(LOWEST_VIEW_M, HIGHEST_VIEW_M)))  # fmt: skip


def _picture(
    day: TownDay, view: View, gsd_m: float, folder: Path, name: str, rng: Rng, shift: tuple[float, ...] | None,
    rich: bool,
) -> None:  # fmt: skip
    """Writes `name`.jpg and height_`name`.tif; the earlier day is shifted, bent and toned by random amounts."""
    size = round(day.town.size_m[0] / gsd_m)
    if view.height_m is None:
        ortho = day.render_ortho(gsd_m)
        rgb, heights = ortho.rgb[:size, :size], ortho.dsm[:size, :size]
    else:
        rgb, heights = _from_above(day, view, gsd_m, size)
    if shift is not None:
        rgb = bent(rgb, shift, rng)
    if rich:
        save_picture(folder, name, weathered(rgb, rng), heights, quality(rng))
        return
    gain = rng.uniform(0.85, 1.15) * (1 + rng.normal(0, 0.03, 3))
    save_picture(folder, name, np.clip(rgb * gain, 0, 255).astype(np.uint8), heights)


def save_picture(folder: Path, name: str, rgb: Bytes, heights: Floats, jpeg_quality: int = 93) -> None:
    """Writes `name`.jpg, and height_`name`.tif at half its size."""
    rows, cols = rgb.shape[:2]
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])
    assert ok
    with replacing(folder / f"{name}.jpg") as temporary:
        temporary.write_bytes(data.tobytes())
    half = cv2.resize(heights, (cols // 2, rows // 2), interpolation=cv2.INTER_NEAREST)
    with (
        warnings.catch_warnings(),
        replacing(folder / f"height_{name}.tif") as temporary,
    ):
        # A scene lies in pixels, nowhere on the earth.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            temporary, "w", driver="GTiff", width=cols // 2, height=rows // 2, count=1, dtype="float32",
            compress="deflate", predictor=3,
        ) as file:  # fmt: skip
            file.write(half, 1)


def _from_above(day: TownDay, view: View, gsd_m: float, size: int) -> tuple[Bytes, Floats]:
    """The scene's square as a camera above the view's point sees it."""
    lon, lat = day.town.lonlat(view.x, view.y)
    ground = town_ground(day, gsd_m, margin_m=24.0)
    return seen_from(ground, view, (lon, lat), day.town.base_alt_amsl_m, gsd_m, (size, size), day.town.seed)


def seen_from(
    ground: Ground, view: View, lonlat: tuple[float, float], alt_amsl_m: float, gsd_m: float, size: tuple[int, int],
    seed: int,
) -> tuple[Bytes, Floats]:  # fmt: skip
    """A picture (cols, rows) with its middle at the scene's, from above `lonlat`: a shifted lens, so that it fits."""
    assert view.height_m is not None
    cols, rows = size
    focal_px = view.height_m / gsd_m
    camera = Camera(model="SIM", width_px=cols, height_px=rows, focal_mm=focal_px * 0.003, sensor_width_mm=cols * 0.003)
    lens = Lens(cx_offset_px=view.x / gsd_m, cy_offset_px=-view.y / gsd_m)
    optics = Optics(lens=lens, blur_px=0.5, exposure_drift=0.0, vignette=0.0, noise=1.5)
    lon, lat = lonlat
    altitude = alt_amsl_m + view.height_m
    exposure = Exposure(
        index=1, file="x.jpg", time_utc=datetime(2026, 6, 1, tzinfo=UTC), system_id=1, true_lon=lon, true_lat=lat,
        true_alt_amsl_m=altitude, camera_roll_deg=0, camera_pitch_deg=-90, camera_yaw_deg=ground.place(lon, lat)[2],
        lon=lon, lat=lat, alt_amsl_m=altitude, height_rel_m=view.height_m,
    )  # fmt: skip
    room = Darkroom(ground, camera, optics, seed)
    rgb = room.develop(exposure)
    return rgb, room.heights


def bent(rgb: Bytes, shift: tuple[float, ...], rng: Rng) -> Bytes:
    """Misregistration as two mosaics have it: a shift, and a smooth residue of about half a pixel."""
    rows, cols = rgb.shape[:2]
    field = rng.normal(0, 0.5, (2, 5, 5)).astype(np.float32)
    dx, dy = (cv2.resize(part, (cols, rows), interpolation=cv2.INTER_CUBIC) for part in field)
    x, y = np.meshgrid(np.arange(cols, dtype=np.float32), np.arange(rows, dtype=np.float32))
    return cv2.remap(rgb, x - shift[0] + dx, y - shift[1] + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def write_json(path: Path, body: dict[str, Any]) -> None:
    """Writes a JSON file whole."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(body), encoding="utf-8")
