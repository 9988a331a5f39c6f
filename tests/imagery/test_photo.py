"""What photographs say of themselves, and what is not believed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from imagery.errors import ImageryError
from imagery.photo import read_photo
from tests.imagery.ground_maker import write_photo

GREY = np.full((60, 80, 3), 120, np.uint8)


def read(path: Path, tz: str = "Asia/Shanghai"):
    return read_photo(path, path.parent, path.read_bytes(), tz)


def test_exif_and_gimbal(tmp_path: Path) -> None:
    xmp = {"RelativeAltitude": "+39.80", "GimbalYawDegree": "-12.5", "GimbalPitchDegree": "-89.9", "RtkFlag": "50"}
    xmp |= {"RtkStdLon": "0.012", "RtkStdLat": "0.015", "RtkStdHgt": "0.03"}
    write_photo(tmp_path / "a.jpg", GREY, (118.35, 35.05), focal_35mm=24, xmp=xmp)
    photo = read(tmp_path / "a.jpg")
    assert photo.lon == pytest.approx(118.35, abs=1e-7) and photo.lat == pytest.approx(35.05, abs=1e-7)
    assert (photo.height_rel_m, photo.yaw_deg, photo.pitch_deg) == (39.8, -12.5, -89.9)
    assert photo.fix == "rtk" and photo.std_h_m == 0.015 and photo.std_v_m == 0.03
    assert photo.focal_px == pytest.approx(24 / 36 * 80)
    assert photo.time_utc == datetime(2026, 5, 1, 2, 0, tzinfo=UTC)
    assert photo.sortie_id == "" and len(photo.id) == 64


@pytest.mark.parametrize("name", ["GPSLongitude", "GPSLongtitude"])
def test_the_makers_typo_is_a_longitude_too(tmp_path: Path, name: str) -> None:
    write_photo(tmp_path / "a.jpg", GREY, (10.0, 20.0), xmp={name: "-83.5", "GPSLatitude": "41.5"})
    photo = read(tmp_path / "a.jpg")
    assert (photo.lon, photo.lat) == (-83.5, 41.5)


@pytest.mark.parametrize("lonlat", [(-91.99, 46.84), (20.8, -41.03)])
def test_southern_and_western_positions(tmp_path: Path, lonlat: tuple[float, float]) -> None:
    write_photo(tmp_path / "a.jpg", GREY, lonlat)
    photo = read(tmp_path / "a.jpg")
    assert photo.lon == pytest.approx(lonlat[0], abs=1e-7) and photo.lat == pytest.approx(lonlat[1], abs=1e-7)


@pytest.mark.parametrize("lonlat", [None, (0.0, 0.0)])
def test_no_fix_is_no_position(tmp_path: Path, lonlat: tuple[float, float] | None) -> None:
    write_photo(tmp_path / "a.jpg", GREY, lonlat)
    photo = read(tmp_path / "a.jpg")
    assert photo.lon is None and photo.lat is None and photo.fix == "none"


def test_time_without_offset_is_in_the_given_zone(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.jpg", GREY, None, time=datetime(2026, 5, 1, 2, 0, tzinfo=UTC))
    assert read(tmp_path / "a.jpg", "UTC").time_utc == datetime(2026, 5, 1, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_truncated_photographs_are_refused(tmp_path: Path, share: float) -> None:
    rng = np.random.default_rng(0)
    write_photo(tmp_path / "a.jpg", rng.integers(0, 255, (200, 300, 3), np.uint8), (118.0, 35.0))
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageryError, match="truncated"):
        read(tmp_path / "a.jpg")


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"not an image at all", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_what_is_no_image_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(ImageryError):
        read(tmp_path / "a.jpg")


def test_a_subfolder_is_a_sortie(tmp_path: Path) -> None:
    write_photo(tmp_path / "S01" / "a.jpg", GREY, (118.0, 35.0))
    path = tmp_path / "S01" / "a.jpg"
    assert read_photo(path, tmp_path, path.read_bytes()).sortie_id == "S01"


@pytest.mark.parametrize(
    ("status", "distance", "pitch", "height"),
    [("Normal", "100.0", "-90", 100.0), ("Normal", "100.0", "-30", 50.0), ("TooFar", "100.0", "-90", None)],
)
def test_a_laser_tells_the_height_over_what_is_looked_at(
    tmp_path: Path, status: str, distance: str, pitch: str, height: float | None
) -> None:
    xmp = {"LRFStatus": status, "LRFTargetDistance": distance, "GimbalPitchDegree": pitch}
    write_photo(tmp_path / "a.jpg", GREY, (118.35, 35.05), xmp=xmp)
    assert read(tmp_path / "a.jpg").height_by_laser_m == (None if height is None else pytest.approx(height))
