import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from missions.camera import Camera
from simulators.lens import Lens, camera_to_enu, enlarged, rays

CAMERA = Camera(model="T", width_px=640, height_px=480, focal_mm=8.8, sensor_width_mm=13.2)
angle = st.floats(-180, 180)


@given(angle, st.floats(-90, 0), angle)
def test_attitude_is_a_rotation(roll: float, pitch: float, yaw: float) -> None:
    turn = camera_to_enu(roll, pitch, yaw)
    assert np.allclose(turn @ turn.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(turn) == pytest.approx(1.0)


def test_nadir_looks_down_with_its_top_to_the_yaw() -> None:
    turn = camera_to_enu(0, -90, 90)
    assert np.allclose(turn @ [0, 0, 1], [0, 0, -1], atol=1e-9)
    assert np.allclose(turn @ [0, -1, 0], [1, 0, 0], atol=1e-9)
    level = camera_to_enu(0, 0, 0)
    assert np.allclose(level @ [0, 0, 1], [0, 1, 0], atol=1e-9)


def test_roll_is_right_side_down() -> None:
    right = camera_to_enu(10, 0, 0) @ [1, 0, 0]
    assert right[2] < 0


def test_rays_from_the_coarse_grid_project_back_onto_their_pixels() -> None:
    lens = Lens.like_dji()
    full = enlarged(rays(CAMERA, lens), CAMERA)
    assert full.shape == (480, 640, 3)
    points = full.reshape(-1, 3)[::97].astype(np.float64)
    seen, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), lens.matrix(CAMERA), lens.coefficients)
    row, col = np.unravel_index(np.arange(0, 480 * 640, 97), (480, 640))
    off = np.hypot(seen[:, 0, 0] - col, seen[:, 0, 1] - row)
    assert off.max() < 0.05
