"""What should never have been flown so: a usable result that says what it lacks, or a refusal that says what to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import rasterio

from imagery.errors import ImageryError
from imagery.poses import read_poses
from imagery.report import MosaicReport
from imagery.stitch import stitch
from tests.imagery.ground_maker import ORIGIN, Camera, Ground, Shot, expose, to_lonlat, write_photo

CAMERA = Camera(400, 300, 280.0, -0.02)
HEIGHT_M = 45.0
GSD_M = HEIGHT_M / CAMERA.focal_px
# Claims with 1 m of noise either way turn and scale a block of 40 m by about half as much; ties say how it fits itself.
PLACED_M, FITS_PX = 1.0, 0.5
Place = tuple[float, float] | None
Look = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="module")
def ground() -> Ground:
    return Ground()


def lanes(per_lane: int = 3, pitch_deg: float = -90.0, turning: bool = True, seed: int = 0) -> list[Shot]:
    """Two lanes at 60 and 70 % overlap; `turning`: flown up and down, else all looking north."""
    rng = np.random.default_rng(seed)
    wide, tall = (side / CAMERA.focal_px * HEIGHT_M for side in (CAMERA.width, CAMERA.height))
    shots = []
    for lane in range(2):
        for k in range(per_lane):
            step = k if lane == 0 else per_lane - 1 - k
            x, y = (lane - 0.5) * wide * 0.4, (step - (per_lane - 1) / 2) * tall * 0.3
            yaw = 180.0 * lane * turning + rng.normal(0, 2)
            shots.append(Shot(x, y, HEIGHT_M + rng.normal(0, 0.4), yaw, pitch_deg, rng.normal(0, 0.7)))
    return shots


def shoot(
    folder: Path,
    ground: Ground,
    shots: Sequence[Shot],
    places: Sequence[Place] | None = None,
    *,
    camera: Camera = CAMERA,
    look: Look | None = None,
    angles: bool = True,
    first: int = 1,
    model: str = "TEST1",
    orientation: int = 1,
) -> None:
    """Photographs with what their files claim: places in local metres (1 m of noise on the truth by default)."""
    rng = np.random.default_rng(9)
    claims = [(s.x + rng.normal(), s.y + rng.normal()) for s in shots] if places is None else places
    for number, (shot, claim) in enumerate(zip(shots, claims, strict=True), start=first):
        image = expose(ground, shot, camera)
        xmp = {"RelativeAltitude": f"{shot.z:+.2f}"}
        if angles:
            xmp |= {"GimbalYawDegree": f"{(shot.yaw_deg + 180) % 360 - 180:+.2f}"}
            xmp |= {"GimbalPitchDegree": f"{shot.pitch_deg:+.2f}", "GimbalRollDegree": f"{shot.roll_deg:+.2f}"}
        write_photo(
            folder / f"DJI_{number:04d}.JPG",
            look(image) if look else image,
            None if claim is None else to_lonlat(*claim),
            time=datetime(2026, 5, 1, 2, 0, tzinfo=UTC) + timedelta(seconds=3 * number),
            focal_35mm=36.0 * camera.focal_px / max(camera.width, camera.height),
            xmp=xmp,
            model=model,
            orientation=orientation,
        )


def water(image: np.ndarray) -> np.ndarray:
    """Nothing but a slope of brightness and the sensor's noise."""
    noise = np.random.default_rng(int(image.sum()) % 1000).normal(0, 1.5, image.shape)
    return np.clip(np.linspace(60, 75, image.shape[1])[None, :, None] + noise, 0, 255).astype(np.uint8)


def made(folder: Path) -> tuple[MosaicReport, str, str]:
    """The report, its English warnings, and the page."""
    report = stitch(folder / "frames", folder / "mosaic.tif")
    warnings = " / ".join(json.loads((folder / "mosaic.json").read_text())["warnings"])
    return report, warnings, (folder / "mosaic.html").read_text(encoding="utf-8")


def refused(folder: Path) -> str:
    """The reason, in one line; nothing that looks like a map is left behind."""
    with pytest.raises(ImageryError) as caught:
        stitch(folder / "frames", folder / "mosaic.tif")
    assert "\n" not in str(caught.value)
    assert not any(folder.glob("*.tif")) and not (folder / "mosaic.json").exists()
    return str(caught.value)


def size_m(folder: Path) -> float:
    with rasterio.open(folder / "mosaic.tif") as source:
        return float(max(source.width, source.height) * source.transform.a)


def relative_error_m(folder: Path, shots: dict[str, Shot]) -> float:
    """RMS of frame centres against the truth after a shift."""
    poses = [pose for pose in read_poses(folder / "poses.json").frames if pose.file in shots]
    truth = np.array([(ORIGIN[0] + shots[p.file].x, ORIGIN[1] + shots[p.file].y) for p in poses])
    off = np.array([p.C[:2] for p in poses]) - truth
    return float(np.sqrt(((off - off.mean(axis=0)) ** 2).sum(axis=1).mean()))


def names(shots: Sequence[Shot], first: int = 1) -> dict[str, Shot]:
    return {f"DJI_{number:04d}.JPG": shot for number, shot in enumerate(shots, start=first)}


def test_photographs_that_do_not_overlap_are_laid_apart_and_named(tmp_path: Path, ground: Ground) -> None:
    for n, place in enumerate([(-60.0, -60.0), (60.0, 60.0), (60.0, -60.0)]):
        shoot(tmp_path / "frames", ground, [Shot(*place, 20.0, 0.0)], first=n + 1)
    report, warnings, page = made(tmp_path)
    assert report.frames_matched == 0 and {camera.placed for camera in report.cameras} == {"gps"}
    assert "no two of 3 photographs match" in warnings and "70% 以上重叠" in page
    assert all(f"DJI_000{n}.JPG" in page for n in (1, 2, 3))


@pytest.mark.slow
def test_frames_of_one_spot_have_the_scale_of_their_height(tmp_path: Path, ground: Ground) -> None:
    shoot(tmp_path / "frames", ground, [Shot(0, 0, HEIGHT_M, 50.0 * n) for n in range(5)])
    report, warnings, _ = made(tmp_path)
    assert report.frames_matched == 5 and "one spot" in warnings
    assert report.gsd_m == pytest.approx(GSD_M, rel=0.1)


def test_a_receiver_that_stopped_gives_a_mosaic_without_a_place(tmp_path: Path, ground: Ground) -> None:
    shots = lanes()
    shoot(tmp_path / "frames", ground, shots, [(0.0, 0.0)] * len(shots))
    report, warnings, page = made(tmp_path)
    assert report.frames_matched == len(shots) and "receiver stopped" in warnings and "不能量测" in page
    with rasterio.open(tmp_path / "mosaic.tif") as source:
        assert source.crs is None or source.crs.to_epsg() is None


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_positions_of_other_photographs_are_refused(tmp_path: Path, ground: Ground, seed: int) -> None:
    """The first set is pulled wide; of the second hardly two lie near enough to be compared."""
    shots = lanes()
    places = np.random.default_rng(seed).uniform(-200, 200, (len(shots), 2))
    shoot(tmp_path / "frames", ground, shots, [tuple(place) for place in places])
    assert "contradict the photographs" in refused(tmp_path)


def test_swapped_and_distant_positions_and_water_are_named(tmp_path: Path, ground: Ground) -> None:
    """One file with longitude and latitude exchanged, one 30 km off, one of water: the others make their map."""
    shots = lanes()
    frames = tmp_path / "frames"
    shoot(frames, ground, shots)
    claim = {"RelativeAltitude": "+45.0"}
    write_photo(frames / "DJI_0003.JPG", expose(ground, shots[2], CAMERA), to_lonlat(0, 0)[::-1], xmp=claim)
    shoot(frames, ground, [Shot(0, 0, HEIGHT_M, 0)], [(30_000.0, 0.0)], look=water, first=20)
    shoot(frames, ground, [Shot(20, 0, HEIGHT_M, 0)], look=water, first=21)
    report, warnings, page = made(tmp_path)
    why = {item.file: item.why for item in report.frames_set_aside}
    assert set(why) == {"DJI_0003.JPG", "DJI_0020.JPG"}
    assert "swapped" in why["DJI_0003.JPG"] and "km from every" in why["DJI_0020.JPG"]
    assert "经纬度可能写反" in page and "公里" in page
    assert report.frames_matched == 5 and "DJI_0021.JPG" in warnings
    assert size_m(tmp_path) < 200.0


def test_two_cameras_one_of_them_upright_make_one_map(tmp_path: Path, ground: Ground) -> None:
    shots = lanes()
    shoot(tmp_path / "frames", ground, shots)
    upright = [replace(shot, yaw_deg=shot.yaw_deg + 90.0, z=shot.z + 12.0) for shot in lanes(seed=4)]
    other = Camera(330, 500, 420.0, 0.03)
    shoot(tmp_path / "frames", ground, upright, camera=other, model="TEST2", first=20, orientation=6, angles=False)
    report, warnings, _ = made(tmp_path)
    assert report.frames_matched == report.frames_total == 12 and warnings == ""
    assert len(read_poses(tmp_path / "poses.json").lenses) == 2
    assert report.tie_rms_px is not None and report.tie_rms_px < FITS_PX
    assert relative_error_m(tmp_path, names(shots) | names(upright, 20)) < PLACED_M


@pytest.mark.slow
def test_oblique_views_with_angles_are_mapped(tmp_path: Path, ground: Ground) -> None:
    shots = lanes(4, pitch_deg=-50.0, turning=False)
    shoot(tmp_path / "frames", ground, shots)
    report, _, _ = made(tmp_path)
    assert report.frames_matched == 8
    assert relative_error_m(tmp_path, names(shots)) < PLACED_M


@pytest.mark.slow
@pytest.mark.parametrize("pitch_deg", [-75.0, -50.0])
def test_oblique_views_without_angles_are_laid_by_their_heights(
    tmp_path: Path, ground: Ground, pitch_deg: float
) -> None:
    """The release before left views of 50 degrees leaning at 10, centres 1.7 m off."""
    shots = lanes(4, pitch_deg=pitch_deg, turning=False)
    shoot(tmp_path / "frames", ground, shots, angles=False)
    report, warnings, _ = made(tmp_path)
    assert report.frames_matched == 8
    assert relative_error_m(tmp_path, names(shots)) < PLACED_M
    down = [-pose.R[2][2] for pose in read_poses(tmp_path / "poses.json").frames]
    assert np.median(np.degrees(np.arccos(down))) == pytest.approx(90.0 + pitch_deg, abs=1.5)
    assert "leans as a whole" not in warnings


@pytest.mark.slow
@pytest.mark.parametrize("light", ["dusk", "near infrared", "one band"])
def test_other_light_makes_the_same_map(tmp_path: Path, ground: Ground, light: str) -> None:
    looks: dict[str, Look] = {
        "dusk": lambda image: np.clip(image * 0.07 + np.random.default_rng(1).normal(0, 1, image.shape), 0, 255).astype(
            np.uint8
        ),
        "near infrared": lambda image: np.dstack([255 - image[..., 1] // 2, image[..., 0] // 3, image[..., 0] // 4]),
        "one band": lambda image: image.mean(axis=2).astype(np.uint8),
    }
    shots = lanes(4)
    shoot(tmp_path / "frames", ground, shots, look=looks[light])
    report, warnings, _ = made(tmp_path)
    assert report.frames_matched == 8 and warnings == ""
    assert relative_error_m(tmp_path, names(shots)) < PLACED_M
    assert report.model_extra is not None and report.model_extra["colour_residual"] is not None


@pytest.mark.slow
def test_a_town_without_any_position_is_stitched_without_a_place(tmp_path: Path, ground: Ground) -> None:
    shots = lanes(4)
    shoot(tmp_path / "frames", ground, shots, [None] * len(shots), angles=False)
    report, warnings, _ = made(tmp_path)
    assert report.frames_matched == 8 and "scale, place and north are unknown" in warnings


@pytest.mark.slow
def test_water_alone(tmp_path: Path, ground: Ground) -> None:
    shots = [Shot(0, 12.0 * n, HEIGHT_M, 0) for n in range(3)]
    shoot(tmp_path / "placed" / "frames", ground, shots, look=water)
    report, warnings, _ = made(tmp_path / "placed")
    assert report.frames_matched == 0 and "no two of 3" in warnings
    shoot(tmp_path / "nowhere" / "frames", ground, shots, [None] * 3, look=water)
    assert "give a capture log" in refused(tmp_path / "nowhere")


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
def test_the_smallest_sets(tmp_path: Path, ground: Ground, count: int) -> None:
    shoot(tmp_path / "frames", ground, [Shot(0, 10.0 * n, HEIGHT_M, 0) for n in range(count)])
    report, _, _ = made(tmp_path)
    assert report.frames_placed == count
    assert report.gsd_m == pytest.approx(GSD_M, rel=0.15)


@pytest.mark.slow
def test_half_a_card_in_the_other_hemisphere_is_refused(tmp_path: Path, ground: Ground) -> None:
    shots = lanes()
    shoot(tmp_path / "frames", ground, shots)
    for number, shot in names(shots).items():
        if number > "DJI_0003.JPG":
            lon, lat = to_lonlat(shot.x, shot.y)
            write_photo(tmp_path / "frames" / number, expose(ground, shot, CAMERA), (lon, -lat))
    assert "contradict the photographs" in refused(tmp_path)
