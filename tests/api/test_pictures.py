"""Tiles and crops of real rasters."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.api.rasters import decode, jpeg, mosaic
from tests.api.world import LAT, LON, World, feature


@pytest.fixture
def patrol(world: World, tmp_path: Path) -> World:
    frames = tmp_path / "frames"
    frames.mkdir()
    (frames / "a.jpg").write_bytes(jpeg())
    paths = {
        "mosaic": str(mosaic(tmp_path / "after.tif", bright=True)),
        "baseline": str(mosaic(tmp_path / "before.tif", bright=False)),
        "frames": str(frames),
    }
    answer = world.call(
        "admin", "POST", "/patrols", json={"id": "P1", "name": "北园-01", "place": "北园", "paths": paths}
    )
    assert answer.status_code == 201, answer.text
    box = {"id": "0" * 64, "file": "a.jpg", "bbox_px": [100, 100, 180, 160]}
    outside = {"id": "1" * 64, "file": "../after.tif", "bbox_px": [0, 0, 9, 9]}
    world.file(feature(frames=[box, outside]))
    return world


def _tile(lon: float, lat: float, z: int) -> tuple[int, int]:
    n = 2**z
    x = (lon + 180) / 360 * n
    y = (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2 * n
    return int(x), int(y)


def test_before_and_after_show_the_same_ground(patrol: World) -> None:
    chips = {}
    for name in ("after", "before"):
        answer = patrol.call("reviewer", "GET", f"/candidates/P1/1/images/{name}.jpg?mark=false&size=360")
        assert answer.status_code == 200 and answer.headers["content-type"] == "image/jpeg"
        chips[name] = decode(answer.content)
    assert chips["after"].shape == chips["before"].shape == (360, 360, 3)
    # The 20 m square is the middle third of a 60 m window.
    middle = slice(130, 230)
    assert chips["after"][middle, middle].mean() > 240 and chips["before"][middle, middle].mean() < 120
    assert abs(chips["after"][:90].mean() - chips["before"][:90].mean()) < 3


def test_the_outline_is_where_the_window_says(patrol: World) -> None:
    window = patrol.candidate("P1/1")["images_window"]
    assert window["side_m"] == pytest.approx(60, abs=1.5)
    (ring,) = window["outline"]
    chip = decode(patrol.call("reviewer", "GET", "/candidates/P1/1/images/after.jpg?size=720").content)
    for u, v in ring:
        x, y = round(u * 719), round(v * 719)
        near = chip[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3)
        assert (near[:, 0] - near[:, 2]).max() > 100, "no orange at a corner of the outline"


def test_tiles_hold_the_mosaic_and_nothing_beyond(patrol: World) -> None:
    x, y = _tile(LON + 0.0001, LAT + 0.0001, 19)
    answer = patrol.call("pilot", "GET", f"/patrols/P1/tiles/19/{x}/{y}.png")
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/png"
    pixels = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGBA"))
    assert pixels.shape == (256, 256, 4) and (pixels[..., 3] == 255).mean() > 0.9 and pixels[..., :3].max() > 240
    before = patrol.call("pilot", "GET", f"/patrols/P1/tiles/19/{x}/{y}.png?layer=before")
    assert np.asarray(Image.open(io.BytesIO(before.content)).convert("RGB")).max() < 200
    far = patrol.call("pilot", "GET", f"/patrols/P1/tiles/19/{x + 5000}/{y}.png")
    assert far.status_code == 200 and np.asarray(Image.open(io.BytesIO(far.content)).convert("RGBA"))[..., 3].max() == 0


def test_views_of_a_photograph(patrol: World) -> None:
    sizes = {}
    for view in ("overview", "medium", "detail"):
        answer = patrol.call("reviewer", "GET", f"/candidates/P1/1/images/frame-1.jpg?view={view}")
        assert answer.status_code == 200, answer.text
        sizes[view] = Image.open(io.BytesIO(answer.content)).size
    assert all(max(size) <= 1280 for size in sizes.values())
    assert sizes["overview"][0] / sizes["overview"][1] == pytest.approx(4 / 3, abs=0.02)


def test_a_name_in_a_file_leads_nowhere_else(patrol: World) -> None:
    assert patrol.call("reviewer", "GET", "/candidates/P1/1/images/frame-2.jpg").status_code == 404
    assert patrol.call("reviewer", "GET", "/candidates/P1/1/images/frame-3.jpg").status_code == 404
    assert patrol.call("reviewer", "GET", "/candidates/P1/1/images/..%2Fx.jpg").status_code in (404, 422)


def test_pictures_need_a_token(patrol: World) -> None:
    assert patrol.call(None, "GET", "/candidates/P1/1/images/after.jpg").status_code == 401
    assert patrol.call(None, "GET", "/patrols/P1/tiles/19/1/1.png").status_code == 401
    assert patrol.call("platform", "GET", "/patrols/P1/tiles/19/1/1.png").status_code == 403


def test_a_patrol_without_a_mosaic_says_so(patrol: World) -> None:
    patrol.file(feature("P9"))
    answer = patrol.call("reviewer", "GET", "/candidates/P9/1/images/after.jpg")
    assert answer.status_code == 404 and "no mosaic" in answer.json()["detail"]


def test_the_patrol_tells_its_bounds(patrol: World) -> None:
    west, south, east, north = patrol.call("pilot", "GET", "/patrols/P1").json()["bounds"]
    assert west < LON < east and south < LAT < north
