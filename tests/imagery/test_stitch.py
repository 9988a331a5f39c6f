"""The whole stage on ground that is known exactly."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rio_cogeo.cogeo import cog_validate

from imagery.errors import ImageryError
from imagery.heights import read_surface
from imagery.poses import read_poses
from imagery.report import read_report
from imagery.stitch import StitchOptions, stitch
from tests.imagery.conftest import Stitched
from tests.imagery.ground_maker import ORIGIN, Ground, fly


def true_centres(stitched: Stitched) -> tuple[np.ndarray, np.ndarray]:
    poses = read_poses(stitched.folder / "poses.json")
    ours = np.array([pose.C for pose in poses.frames])
    shots = [stitched.flight.shots[pose.file] for pose in poses.frames]
    return ours, np.array([(ORIGIN[0] + s.x, ORIGIN[1] + s.y, s.z) for s in shots])


def test_every_frame_is_matched_and_reported(stitched: Stitched) -> None:
    report = read_report(stitched.folder / "mosaic.json")
    assert (report.frames_total, report.frames_matched, report.frames_set_aside) == (15, 15, ())
    assert report.tie_rms_px is not None and report.tie_rms_px < 0.8
    assert len(report.cameras) == 15 and report.cpu_s > 0


def test_frames_agree_with_truth_after_the_gps_bias_is_taken_off(stitched: Stitched) -> None:
    ours, truth = true_centres(stitched)
    offset = ours[:, :2] - truth[:, :2]
    assert np.abs(offset.mean(axis=0) - (1.5, -1.0)).max() < 0.8
    # Ground sample distance is 0.08 m: frames sit within 2.5 of it to each other.
    assert np.sqrt(((offset - offset.mean(axis=0)) ** 2).sum(axis=1).mean()) < 0.2


def test_mosaic_is_a_valid_cog_with_a_mask(stitched: Stitched) -> None:
    valid, errors, warnings = cog_validate(stitched.folder / "mosaic.tif", strict=True)
    assert valid, (errors, warnings)
    with rasterio.open(stitched.folder / "mosaic.tif") as source:
        assert source.count == 3 and source.crs.to_epsg() == 32650
        assert source.overviews(1)
        mask = source.read_masks(1)
        assert 0.4 < (mask > 0).mean() < 1.0


def test_mosaic_shows_the_ground_where_it_is(stitched: Stitched) -> None:
    """Corners of the frame-independent truth: the mosaic correlates with the ground, shifted by the GPS bias."""
    import cv2

    with rasterio.open(stitched.folder / "mosaic.tif") as source:
        x, y = np.meshgrid(np.arange(-12, 12, 0.1), np.arange(-12, 12, 0.1)[::-1] - 26)
        column, row = ~source.transform @ (ORIGIN[0] + x + 1.5, ORIGIN[1] + y - 1.0)
        image = source.read().transpose(1, 2, 0)
    ours = cv2.remap(image, column.astype(np.float32), row.astype(np.float32), cv2.INTER_LINEAR)
    truth, _ = stitched.ground.sample(x, y)
    window = cv2.createHanningWindow(x.shape[::-1], cv2.CV_32F)
    grey = [cv2.cvtColor(side, cv2.COLOR_RGB2GRAY).astype(np.float32) for side in (truth, ours)]
    (dx, dy), strength = cv2.phaseCorrelate(*grey, window)
    assert strength > 0.3
    assert np.hypot(dx, dy) * 0.1 < 0.9


def test_roofs_stand_at_their_height(stitched: Stitched) -> None:
    surface = read_surface(stitched.folder / "dsm.tif")
    assert surface.dense
    for x0, y0, x1, y1, height in stitched.ground.boxes:
        x, y = np.meshgrid(np.linspace(x0 + 2, x1 - 2, 9), np.linspace(y0 + 2, y1 - 2, 9))
        above = surface.above_ground(ORIGIN[0] + x + 1.5, ORIGIN[1] + y - 1.0)
        assert abs(float(np.median(above)) - height) < 0.5
    x, y = np.meshgrid(np.linspace(-10, 10, 9), np.linspace(-35, -25, 9))
    assert abs(float(np.median(surface.above_ground(ORIGIN[0] + x, ORIGIN[1] + y)))) < 0.3


def test_colours_agree_where_frames_overlap(stitched: Stitched) -> None:
    assert stitched.report.model_extra is not None
    assert stitched.report.model_extra["colour_residual"] <= 2.0


def test_bad_files_are_set_aside_by_name(stitched: Stitched, tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    shutil.copytree(stitched.frames, frames)
    names = sorted(path.name for path in frames.iterdir())
    for name in names[4:]:
        (frames / name).unlink()
    whole = (frames / names[0]).read_bytes()
    (frames / "half.JPG").write_bytes(whole[: len(whole) // 2])
    (frames / "text.jpg").write_text("no picture")
    (frames / "twice.jpg").write_bytes(whole)
    from tests.imagery.ground_maker import write_photo

    write_photo(frames / "nowhere.jpg", np.full((300, 400, 3), 90, np.uint8), None)
    (frames / "notes.txt").write_text("not a photograph, and not meant to be one")
    report = stitch(frames, tmp_path / "out" / "mosaic.tif")
    why = {item.file: item.why for item in report.frames_set_aside}
    assert set(why) == {"half.JPG", "text.jpg", "twice.jpg", "nowhere.jpg"}
    assert "truncated" in why["half.JPG"] and "position" in why["nowhere.jpg"]
    assert report.frames_matched == 4 and report.frames_total == 8


@pytest.mark.parametrize("made", [False, True])
def test_missing_or_empty_folder_is_refused_in_one_line(tmp_path: Path, made: bool) -> None:
    if made:
        (tmp_path / "frames").mkdir()
    with pytest.raises(ImageryError, match="frames") as caught:
        stitch(tmp_path / "frames", tmp_path / "mosaic.tif")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "mosaic.tif").exists()


def test_second_day_lies_on_the_first(stitched: Stitched, tmp_path: Path) -> None:
    """Other GPS bias, other light, a new box: registered to the first day's mosaic, not to its own GPS."""
    ground = Ground(boxes=(*Ground().boxes, (-4.0, -30.0, 6.0, -22.0, 4.0)), light=0.8)
    flight = fly(tmp_path / "frames", ground, seed=5, bias=(-2.0, 1.5), lanes=2, per_lane=4)
    options = StitchOptions(dense=True, baseline=stitched.folder)
    report = stitch(tmp_path / "frames", tmp_path / "mosaic.tif", options)
    assert report.frames_matched == 8
    poses = read_poses(tmp_path / "poses.json")
    truth = np.array([(ORIGIN[0] + flight.shots[p.file].x, ORIGIN[1] + flight.shots[p.file].y) for p in poses.frames])
    second = (np.array([pose.C[:2] for pose in poses.frames]) - truth).mean(axis=0)
    ours, first_truth = true_centres(stitched)
    first = (ours - first_truth)[:, :2].mean(axis=0)
    assert np.hypot(*(second - first)) < 0.12  # 1.5 px of 0.08 m, over camera centres
    before, after = read_surface(stitched.folder / "dsm.tif"), read_surface(tmp_path / "dsm.tif")
    x, y = np.meshgrid(np.linspace(-2, 4, 7), np.linspace(-28, -24, 7))
    place = (ORIGIN[0] + x + first[0], ORIGIN[1] + y + first[1])
    assert abs(float(np.median(after.at(*place) - before.at(*place))) - 4.0) < 0.5


def test_a_baseline_of_another_place_is_refused(stitched: Stitched, tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    fly(frames, Ground(seed=99), lanes=1, per_lane=4)
    with pytest.raises(ImageryError, match="does not match"):
        stitch(frames, tmp_path / "mosaic.tif", StitchOptions(baseline=stitched.folder / "mosaic.tif"))
    assert not (tmp_path / "mosaic.tif").exists()


@pytest.mark.slow
def test_brighton_beach(shared_data: Path, tmp_path: Path) -> None:
    report = stitch(shared_data / "brighton_beach", tmp_path / "mosaic.tif")
    assert report.frames_matched == report.frames_total == 18
    assert report.tie_rms_px is not None and report.tie_rms_px <= 1.5


@pytest.mark.slow
def test_two_drones_on_one_site(shared_data: Path, tmp_path: Path) -> None:
    report = stitch(shared_data / "toledo_two_drones", tmp_path / "mosaic.tif")
    assert report.frames_matched >= 55
