"""One photograph alone: pixels to the ground and back, errors that mean something, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagery.errors import ImageryError
from imagery.layout import look
from imagery.poses import project
from imagery.single import footprint_lonlat, locate, poses_of_photos
from tests.imagery.ground_maker import Shot, rotation, to_lonlat, write_photo

GREY = np.full((600, 800, 3), 120, np.uint8)
NADIR = {"RelativeAltitude": "+50", "GimbalYawDegree": "30", "GimbalPitchDegree": "-90", "GimbalRollDegree": "0"}


def photograph(path: Path, **xmp: str) -> Path:
    write_photo(path, GREY, to_lonlat(0, 0), focal_35mm=24, xmp=NADIR | xmp)
    return path


@given(st.floats(-180, 180), st.floats(-90, -20), st.floats(-10, 10))
@settings(max_examples=50, deadline=None)
def test_gimbal_angles_mean_what_they_say(yaw: float, pitch: float, roll: float) -> None:
    assert np.allclose(look(np.radians(yaw), pitch, roll), rotation(Shot(0, 0, 50, yaw, pitch, roll)), atol=1e-9)


@pytest.mark.parametrize("pitch", ["-90", "-70", "-45"])
def test_ground_points_project_back_to_their_pixels(tmp_path: Path, pitch: str) -> None:
    poses = poses_of_photos([photograph(tmp_path / "a.jpg", GimbalPitchDegree=pitch)])
    uv = np.array([[400.0, 300.0], [100.0, 550.0], [700.0, 420.0]])
    for pixel, point in zip(uv, locate(poses, poses.frames[0], uv), strict=True):
        assert point is not None
        back = project(poses.lenses[poses.frames[0].lens], poses.frames[0], np.array([[point.x, point.y, 0.0]]))
        assert np.allclose(back, pixel, atol=1e-3)


def test_the_top_of_a_photograph_lies_where_the_camera_heads(tmp_path: Path) -> None:
    poses = poses_of_photos([photograph(tmp_path / "a.jpg", GimbalYawDegree="90")])
    above = locate(poses, poses.frames[0], np.array([[399.5, 0.0]]))[0]
    assert above is not None
    east, north = above.x - poses.frames[0].C[0], above.y - poses.frames[0].C[1]
    assert east > 25 and abs(north) < 1.0  # the grid's north is a degree off the true one here


def test_errors_grow_from_nadir_to_oblique_and_shrink_with_rtk(tmp_path: Path) -> None:
    middle = np.array([[399.5, 299.5]])
    sigma = {}
    for name, xmp in {
        "nadir": {},
        "oblique": {"GimbalPitchDegree": "-45"},
        "rtk": {"RtkFlag": "50", "RtkStdLon": "0.01", "RtkStdLat": "0.01", "RtkStdHgt": "0.02"},
    }.items():
        poses = poses_of_photos([photograph(tmp_path / f"{name}.jpg", **xmp)])
        point = locate(poses, poses.frames[0], middle)[0]
        assert point is not None
        sigma[name] = point.sigma_m
    assert sigma["rtk"] < sigma["nadir"] < sigma["oblique"]
    assert 2.5 < sigma["nadir"] < 5.0


def test_above_the_horizon_there_is_no_ground(tmp_path: Path) -> None:
    poses = poses_of_photos([photograph(tmp_path / "a.jpg", GimbalPitchDegree="-10")])
    assert locate(poses, poses.frames[0], np.array([[400.0, 0.0]])) == [None]
    assert len(footprint_lonlat(poses, poses.frames[0])) < 4


def test_a_photograph_without_height_needs_its_ground_size(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    write_photo(path, GREY, to_lonlat(0, 0), focal_35mm=24)
    with pytest.raises(ImageryError, match="ground size"):
        poses_of_photos([path])
    poses = poses_of_photos([path], gsd_m=0.05)
    assert poses.frames[0].C[2] == pytest.approx(0.05 * 24 / 36 * 800)


def test_a_photograph_without_position_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    write_photo(path, GREY, None)
    with pytest.raises(ImageryError, match="no position"):
        poses_of_photos([path], gsd_m=0.05)
    with pytest.raises(ImageryError, match="no photograph at"):
        poses_of_photos([tmp_path / "none.jpg"])
