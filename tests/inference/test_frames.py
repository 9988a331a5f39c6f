from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import assume, given
from hypothesis import strategies as st

from imagery.poses import FramePose, Lens, project
from inference.frames import FrameSet, ground_chip, visible
from inference.photos import to_ground
from tests.inference.conftest import CRS, nadir_poses


def tilted(pitch_deg: float, yaw_deg: float, centre: tuple[float, float, float]) -> FramePose:
    """A camera whose axis points down by `-pitch_deg`, towards `yaw_deg` from north."""
    pitch, yaw = np.radians(pitch_deg), np.radians(yaw_deg)
    ahead = np.array([np.sin(yaw) * np.cos(pitch), np.cos(yaw) * np.cos(pitch), np.sin(pitch)])
    right = np.array([np.cos(yaw), -np.sin(yaw), 0.0])
    down = np.cross(ahead, right)
    rows = tuple((float(r[0]), float(r[1]), float(r[2])) for r in (right, down, ahead))
    return FramePose(
        id="0" * 64, file="a.jpg", lens="a", R=(rows[0], rows[1], rows[2]), C=centre, sigma_m=1, placed="matched"
    )


LENS = Lens(fx=900, fy=905, cx=512, cy=370, k1=-0.03, k2=0.01, p1=1e-4, width_px=1024, height_px=768)


@given(
    st.floats(-90, -25),
    st.floats(0, 360),
    st.floats(10, 120),
    st.floats(50, 970),
    st.floats(50, 700),
)
def test_a_pixel_carried_to_the_ground_projects_back(p: float, y: float, height: float, u: float, v: float) -> None:
    pose = tilted(p, y, (500_000.0, 3_880_000.0, 60 + height))
    spot = to_ground(LENS, pose, np.array([[u, v]]), 60.0)
    assume(spot is not None)
    assert spot is not None
    back = project(LENS, pose, np.column_stack([spot, [60.0]]))
    assert back[0] == pytest.approx((u, v), abs=0.05)


def test_a_ray_above_the_horizon_meets_no_ground() -> None:
    pose = tilted(-5, 90, (0.0, 0.0, 40.0))
    assert to_ground(LENS, pose, np.array([[512.0, 10.0]]), 0.0) is None
    assert to_ground(LENS, pose, np.array([[512.0, 760.0]]), 50.0) is None


def test_points_behind_or_far_outside_are_not_visible() -> None:
    pose = tilted(-45, 0, (0.0, 0.0, 50.0))
    points = np.array([[0, 50, 0], [0, -200, 0], [5000, 50, 0], [0, 0, 90.0]])
    assert visible(LENS, pose, points)[1].tolist() == [True, False, False, False]


def test_looks_are_those_frames_that_hold_all_of_it_most_central_first() -> None:
    poses = nadir_poses([(0.0, 0.0), (20.0, 0.0), (70.0, 0.0), (300.0, 0.0)])
    frames = FrameSet(poses, None, CRS)
    looks = frames.looks([shapely.box(18, -2, 22, 2), shapely.box(295, -1, 297, 1)], [0.0, None], tall_m=3)
    assert [look.pose.C[0] for look in looks[0]] == [20.0, 0.0]
    assert looks[1] == []
    x0, y0, x1, y1 = looks[0][0].bbox_px
    # 4 m at 60 m and 750 px focal length are 50 px; a top at 3 m widens that to 52.6 px.
    assert (x1 - x0, y1 - y0) == (pytest.approx(52.6, abs=0.2), pytest.approx(52.6, abs=0.2))
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == (pytest.approx(500), pytest.approx(375))


def test_frames_placed_by_gps_alone_are_left_out_where_others_are() -> None:
    poses = nadir_poses([(0.0, 0.0), (1.0, 0.0)])
    rough = poses.frames[0].model_copy(update={"placed": "gps"})
    mixed = poses.model_copy(update={"frames": (rough, poses.frames[1])})
    looks = FrameSet(mixed, None, CRS).looks([shapely.box(-1, -1, 1, 1)], [0.0], 1.0)
    assert [look.pose.placed for look in looks[0]] == ["matched"]


def test_a_chip_is_the_ground_seen_by_the_frame() -> None:
    poses = nadir_poses([(0.0, 0.0)])
    photo = np.zeros((750, 1000, 3), np.uint8)
    photo[375 - 25 : 375 + 25, 500 : 500 + 50] = (255, 0, 0)
    xs, ys = np.meshgrid(np.arange(-8, 8, 0.08) + 0.04, -np.arange(-8, 8, 0.08) - 0.04)
    points = np.dstack([xs, ys, np.zeros_like(xs)])
    chip, seen = ground_chip(photo, 1, poses.lenses["a"], poses.frames[0], points)
    assert seen.all()
    red = chip[..., 0] > 128
    assert xs[red].min() == pytest.approx(0.0, abs=0.1)
    assert xs[red].max() == pytest.approx(4.0, abs=0.15)
    assert ys[red].max() == pytest.approx(2.0, abs=0.15)
