"""Ground control: the list, blocks without GPS, check points that are only compared, and lists of another size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagery.bundle import rotation
from imagery.errors import ImageryError
from imagery.gcp import Mark, read_marks, rms_m, scaled
from imagery.poses import FramePose, Lens, project, read_poses
from imagery.similarity import similarity
from imagery.stitch import StitchOptions, stitch
from tests.imagery.conftest import Stitched
from tests.imagery.ground_maker import ORIGIN, Camera, Shot
from tests.imagery.ground_maker import rotation as look


def write_list(path: Path, lines: list[str], crs: str = "EPSG:32650") -> Path:
    path.write_text("\n".join([crs, *lines]) + "\n")
    return path


def test_marks_are_grouped_by_place(tmp_path: Path) -> None:
    lines = ["622000 3879000 61.5 10 20 a.jpg corner", "622000 3879000 61.5 30 40 b.jpg corner", "", "# a remark"]
    marks = read_marks(write_list(tmp_path / "gcp.txt", [*lines, "622010 3879000 60 5 6 a.jpg"]))
    assert [len(mark.seen) for mark in marks] == [2, 1]
    assert marks[0].name == "corner" and marks[0].z_m == 61.5 and marks[0].seen[1] == ("b.jpg", 30.0, 40.0)
    assert 118.3 < marks[0].lon < 118.4 and 35.0 < marks[0].lat < 35.1


@pytest.mark.parametrize("crs", ["WGS84 UTM 50N", "+proj=utm +zone=50 +datum=WGS84 +units=m", "EPSG:32650"])
def test_ways_to_name_a_system(tmp_path: Path, crs: str) -> None:
    (mark,) = read_marks(write_list(tmp_path / "gcp.txt", ["622000 3879000 0 1 2 a.jpg"], crs))
    assert mark.lat == pytest.approx(35.05, abs=0.01)


@pytest.mark.parametrize(
    ("lines", "crs", "says"),
    [
        (["1 2 3 4 a.jpg"], "EPSG:32650", "line 2: expected"),
        (["622000 3879000 0 x 2 a.jpg"], "EPSG:32650", "line 2: expected"),
        (["622000 3879000 0 1 2 a.jpg"], "somewhere", "line 1: expected a CRS"),
        ([], "EPSG:32650", "holds no marks"),
        (["118.3 95.0 0 1 2 a.jpg"], "EPSG:4326", "swapped"),
    ],
)
def test_lists_that_cannot_be_read_say_where(tmp_path: Path, lines: list[str], crs: str, says: str) -> None:
    with pytest.raises(ImageryError, match=says):
        read_marks(write_list(tmp_path / "gcp.txt", lines, crs))


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageryError, match="no ground control at"):
        read_marks(tmp_path / "gcp.txt")


@given(st.integers(0, 1000), st.floats(0.1, 30.0))
@settings(max_examples=25, deadline=None)
def test_similarities_come_back(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(0, 10, (6, 3))
    turn = rotation(rng.normal(0, 0.8, (1, 3)))[0]
    moved = scale * points @ turn.T + (100.0, -50.0, 3.0)
    found_scale, found_turn, shift = similarity(points, moved)
    assert found_scale == pytest.approx(scale, rel=1e-6)
    assert np.allclose(found_scale * points @ found_turn.T + shift, moved, atol=1e-6)


def test_scaling_touches_pixels_alone() -> None:
    mark = Mark("m", 1.0, 2.0, 3.0, (("a.jpg", 10.0, 20.0),))
    assert scaled([mark], 1.5)[0] == Mark("m", 1.0, 2.0, 3.0, (("a.jpg", 15.0, 30.0),))
    assert rms_m([]) is None


def true_pose(shot: Shot) -> FramePose:
    r = tuple(tuple(float(v) for v in line) for line in look(shot))
    centre = (ORIGIN[0] + shot.x, ORIGIN[1] + shot.y, shot.z)
    return FramePose(id="0" * 64, file="x", lens="l", R=r, C=centre, sigma_m=0, placed="matched")  # type: ignore[arg-type]


def mark_lines(stitched: Stitched, places: list[tuple[float, float]], pixels: float = 1.0) -> list[str]:
    """Lines for ground points (local metres) in the three photographs that see each best."""
    camera: Camera = stitched.flight.camera
    lens = Lens(
        fx=camera.focal_px, fy=camera.focal_px, cx=(camera.width - 1) / 2, cy=(camera.height - 1) / 2, k1=camera.k1,
        width_px=camera.width, height_px=camera.height,
    )  # fmt: skip
    lines = []
    for x, y in places:
        seen = []
        for name, shot in stitched.flight.shots.items():
            u, v = project(lens, true_pose(shot), np.array([[ORIGIN[0] + x, ORIGIN[1] + y, 0.0]]))[0]
            if 20 < u < camera.width - 20 and 20 < v < camera.height - 20:
                seen.append((np.hypot(u - camera.width / 2, v - camera.height / 2), name, u, v))
        for _, name, u, v in sorted(seen)[:3]:
            lines.append(f"{ORIGIN[0] + x} {ORIGIN[1] + y} 0.0 {u * pixels:.3f} {v * pixels:.3f} {name}")
    return lines


PLACES = [(-25.0, -25.0), (25.0, -28.0), (26.0, 26.0), (-28.0, 27.0)]


def test_control_takes_the_gps_bias_off_and_check_points_say_so(stitched: Stitched, tmp_path: Path) -> None:
    gcp = write_list(tmp_path / "gcp.txt", mark_lines(stitched, PLACES))
    check = write_list(tmp_path / "check.txt", mark_lines(stitched, [(0.0, -28.0), (5.0, 25.0)]))
    report = stitch(stitched.frames, stitched.taken_up(tmp_path), StitchOptions(gcp=gcp, check=check))
    assert report.check_rms_m is not None and report.check_rms_m < 0.12  # 1.5 pixels of 0.08 m
    assert report.gcp_rms_m is not None and report.gcp_rms_m < 0.1
    extra = report.model_extra or {}
    assert [mark["photos"] for mark in extra["check"]] == [3, 3]
    # The block moves by the receiver's bias; neither lens nor heights bend to reach the marks.
    assert max(abs(mark["up_m"]) for mark in (*extra["check"], *extra["gcp"])) < 0.4
    (lens,) = read_poses(tmp_path / "poses.json").lenses.values()
    assert lens.fx == pytest.approx(stitched.flight.camera.focal_px, rel=0.02)
    assert extra["mark_pixel_scale"] == 1.0 and not extra["warnings"]


def test_a_list_for_smaller_copies_with_a_wrong_line_is_noticed(stitched: Stitched, tmp_path: Path) -> None:
    lines = mark_lines(stitched, [*PLACES, (0.0, -28.0)], pixels=0.6)
    *place, u, v, name = lines[-1].split()
    lines[-1] = " ".join([*place, f"{float(u) - 150.0:.1f}", v, name])
    gcp = write_list(tmp_path / "gcp.txt", lines)
    report = stitch(stitched.frames, stitched.taken_up(tmp_path), StitchOptions(gcp=gcp))
    extra = report.model_extra or {}
    assert extra["mark_pixel_scale"] == pytest.approx(1 / 0.6, rel=0.01)
    assert "another size" in extra["warnings"][0]
    # The wrong sighting is named, and has no part in what is said of the others.
    assert report.gcp_rms_m is not None and report.gcp_rms_m < 0.3
    assert len(extra["marks_left_out"]) == 1 and name in extra["marks_left_out"][0]
