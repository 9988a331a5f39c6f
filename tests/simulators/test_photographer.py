import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image

from missions.camera import Camera
from simulators.errors import SimulatorError
from simulators.exposure import Exposure
from simulators.frame import Darkroom, Optics
from simulators.ground import OrthoGround
from simulators.lens import Lens, camera_to_enu
from simulators.photographer import photograph
from simulators.sun import Sun
from simulators.town import build_town

CAMERA = Camera(model="M3E", width_px=640, height_px=480, focal_mm=8.8, sensor_width_mm=13.2)
CLEAN = Optics(lens=Lens.like_dji(), blur_px=0.0, exposure_drift=0.0, vignette=0.0, noise=0.0)
EAST, NORTH, EPSG, GSD = 440_000.0, 3_879_000.0, 32650, 0.1
START = datetime(2026, 5, 1, 2, tzinfo=UTC)
MARKS = [(20.0, 20.0, 0.0), (-22.0, 14.0, 0.0), (10.0, -15.0, 8.0), (-20.0, -15.0, 14.0)]


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    """Grey ground with white marks, two of them on towers: (x, y, height) from the middle."""
    folder = tmp_path_factory.mktemp("ortho")
    size = 1200
    rgb = np.full((size, size), 90, np.uint8)
    dsm = np.full((size, size), 50.0, np.float32)
    for x, y, tall in MARKS:
        col, row = int(size / 2 + x / GSD), int(size / 2 - y / GSD)
        dsm[row - 25 : row + 25, col - 25 : col + 25] = 50 + tall
        rgb[row - 3 : row + 3, col - 3 : col + 3] = 255
    transform = Affine(GSD, 0, EAST - size / 2 * GSD, 0, -GSD, NORTH + size / 2 * GSD)
    for name, data in (("rgb", rgb), ("dsm", dsm)):
        with rasterio.open(
            folder / f"{name}.tif", "w", driver="GTiff", width=size, height=size, count=1, dtype=data.dtype,
            crs=EPSG, transform=transform,
        ) as file:  # fmt: skip
            file.write(data, 1)
    return OrthoGround.open(folder / "rgb.tif", folder / "dsm.tif")


def exposure(ground, *, x: float = 0.0, y: float = 0.0, up: float = 60.0, **changes: object) -> Exposure:
    from pyproj import Transformer

    lon, lat = Transformer.from_crs(ground.crs, 4326, always_xy=True).transform(EAST + x, NORTH + y)
    values: dict[str, object] = {
        "index": 1, "file": "DJI_0001.JPG", "time_utc": datetime(2026, 5, 1, 2, tzinfo=UTC), "system_id": 1,
        "true_lon": lon, "true_lat": lat, "true_alt_amsl_m": 50 + up, "camera_roll_deg": 0.0,
        "camera_pitch_deg": -90.0, "camera_yaw_deg": 0.0, "lon": lon + 1e-4, "lat": lat, "alt_amsl_m": 53 + up,
        "height_rel_m": up,
    }  # fmt: skip
    return Exposure.model_validate({**values, **changes})


@pytest.mark.parametrize(("roll", "pitch", "yaw"), [(0, -90, 0), (2, -87, 130), (-4, -80, 250), (0, -65, 30)])
def test_marks_are_where_the_pinhole_says(marked, roll: float, pitch: float, yaw: float) -> None:
    """Against OpenCV's own projection, on the ground and on towers, with distortion and true north."""
    shot = exposure(marked, camera_roll_deg=roll, camera_pitch_deg=pitch, camera_yaw_deg=yaw)
    image = Darkroom(marked, CAMERA, CLEAN, 0).develop(shot)[..., 0]
    convergence = marked.place(shot.true_lon, shot.true_lat)[2]
    assert abs(convergence) > 0.2
    turn = camera_to_enu(roll, pitch, yaw - convergence).T
    seen = 0
    for x, y, tall in MARKS:
        point = turn @ np.array([x, y, tall - 60.0])
        pixel, _ = cv2.projectPoints(
            point.reshape(1, 3), np.zeros(3), np.zeros(3), CLEAN.lens.matrix(CAMERA), CLEAN.lens.coefficients
        )
        col, row = pixel.ravel()
        if not (12 < col < 628 and 12 < row < 468):
            continue
        part = image[int(row) - 10 : int(row) + 11, int(col) - 10 : int(col) + 11]
        bright = np.argwhere(part > 170)
        assert len(bright), (x, y, tall)
        middle = bright.mean(axis=0) + np.array([int(row) - 10, int(col) - 10])
        assert np.hypot(middle[0] - row, middle[1] - col) < 0.8
        seen += 1
    assert seen >= 2


def test_rolling_shutter_shears_along_the_flight(marked) -> None:
    still = Darkroom(marked, CAMERA, CLEAN, 0).develop(exposure(marked))
    moving = exposure(marked, speed_north_mps=0.0, speed_east_mps=20.0)
    rolled = Darkroom(marked, CAMERA, Optics(lens=CLEAN.lens, blur_px=0, exposure_drift=0, vignette=0, noise=0,
                                             exposure_s=0.0, readout_s=0.1), 0).develop(moving)  # fmt: skip

    def middle(image: np.ndarray, top: bool) -> float:
        # One mark on either side, each counted once whatever its size in pixels.
        part = image[:200, :, 0] if top else image[280:, :, 0]
        cols = np.argwhere(part > 170)[:, 1]
        return float(cols[cols < 320].mean() + cols[cols >= 320].mean()) / 2

    # Rows read before the middle see from further back, rows after it from further on.
    assert middle(rolled, True) > middle(still, True) + 1
    assert middle(rolled, False) < middle(still, False) - 1


def test_motion_blur_smears_marks(marked) -> None:
    sharp = Darkroom(marked, CAMERA, CLEAN, 0).develop(exposure(marked))
    slow = Optics(lens=CLEAN.lens, blur_px=0, exposure_drift=0, vignette=0, noise=0, exposure_s=0.05)
    smeared = Darkroom(marked, CAMERA, slow, 0).develop(exposure(marked, speed_east_mps=12.0))
    assert smeared.max() < sharp.max()
    assert abs(float(smeared.mean()) - float(sharp.mean())) < 1


def test_files_say_the_reported_place_and_are_the_same_again(marked, tmp_path: Path) -> None:
    shots = [
        exposure(marked, x=5.0 * k, index=k, file=f"DJI_{k:04d}.JPG", time_utc=START + timedelta(seconds=k))
        for k in range(1, 4)
    ]
    told: list[tuple[int, int, str]] = []
    files = photograph(
        shots, marked, CAMERA, tmp_path / "a", processes=2, seed=4, progress=lambda *args: told.append(args)
    )
    again = photograph(shots, marked, CAMERA, tmp_path / "b", processes=1, seed=4)
    assert [f.name for f in files] == ["DJI_0001.JPG", "DJI_0002.JPG", "DJI_0003.JPG"]
    assert [f.read_bytes() for f in files] == [f.read_bytes() for f in again]
    assert [done for done, _, _ in told] == [1, 2, 3]
    image = Image.open(io.BytesIO(files[0].read_bytes()))
    assert image.size == (640, 480)
    degrees, minutes, seconds = (float(v) for v in image.getexif().get_ifd(0x8825)[4])
    assert degrees + minutes / 60 + seconds / 3600 == pytest.approx(shots[0].lon, abs=1e-7)


def test_a_town_is_photographed(tmp_path: Path) -> None:
    day = build_town(2, size_m=(80.0, 80.0)).day(0, sun=Sun(140, 45))
    lon, lat = day.town.centre
    shot = Exposure(
        index=1, file="DJI_0001.JPG", time_utc=datetime(2026, 5, 1, 2, tzinfo=UTC), system_id=1, true_lon=lon,
        true_lat=lat, true_alt_amsl_m=125.0, camera_roll_deg=0, camera_pitch_deg=-90, camera_yaw_deg=45, lon=lon,
        lat=lat, alt_amsl_m=125.0, height_rel_m=65.0,
    )  # fmt: skip
    [file] = photograph([shot], day, CAMERA, tmp_path, processes=1)
    image = cv2.imread(str(file))
    assert image.std() > 20
    corners = cv2.goodFeaturesToTrack(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), 2000, 0.01, 5)
    # Texture everywhere: every ninth of the picture has corners to match.
    cells = {(int(y // 160), int(x // 214)) for x, y in corners[:, 0]}
    assert len(cells) == 9


def test_two_shots_of_one_name_are_refused(marked, tmp_path: Path) -> None:
    with pytest.raises(SimulatorError, match=r"two exposures are named DJI_0001.JPG"):
        photograph([exposure(marked), exposure(marked)], marked, CAMERA, tmp_path)


def test_bad_orthophotos_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SimulatorError, match="no orthophoto at"):
        OrthoGround.open(tmp_path / "none.tif")
    bare = tmp_path / "bare.tif"
    with rasterio.open(bare, "w", driver="GTiff", width=4, height=4, count=1, dtype="uint8") as file:
        file.write(np.zeros((4, 4), np.uint8), 1)
    with pytest.raises(SimulatorError, match="with a CRS"):
        OrthoGround.open(bare)


def test_places_from_which_nothing_is_seen_are_refused(marked, tmp_path: Path) -> None:
    swapped = exposure(marked)
    swapped = swapped.model_copy(update={"true_lon": swapped.true_lon + 0.1})
    with pytest.raises(SimulatorError, match=r"m off the ground's edge .* lon before lat"):
        photograph([swapped], marked, CAMERA, tmp_path / "a")
    with pytest.raises(SimulatorError, match="above mean sea level"):
        photograph([exposure(marked, up=-10.0)], marked, CAMERA, tmp_path / "a")
    assert not (tmp_path / "a").exists()
