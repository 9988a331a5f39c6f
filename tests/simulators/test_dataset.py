import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from shapely.geometry import Polygon

from simulators.composite import Photograph, sample_photographs, write_composites
from simulators.dataset import write_change_pairs
from simulators.errors import SimulatorError
from simulators.scenes import View
from simulators.sun import Sun

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def _check(folder: Path) -> dict:
    scene = json.loads((folder / "scene.json").read_text())
    things = json.loads((folder / "truth.json").read_text())["things"]
    after = cv2.imread(str(folder / "after.jpg"))
    before = cv2.imread(str(folder / "before.jpg"))
    assert after.shape == before.shape
    with rasterio.open(folder / "height_after.tif") as file:
        assert (file.height, file.width) == (after.shape[0] // 2, after.shape[1] // 2)
    assert {t["family"] for t in things} <= {"construction", "sanitation", "none"}
    assert {t["kind"] for t in things} <= {"new", "gone", "existing", "permitted", "distractor"}
    for thing in things:
        # Lean magnifies, it does not shrink.
        area = Polygon(thing["polygon"]).area * scene["gsd_m"] ** 2
        assert 0.9 * thing["area_m2"] <= area <= 2.5 * thing["area_m2"] + 1, thing
    return {"scene": scene, "things": things, "before": before, "after": after, "folder": folder}


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_scenes_show_what_their_truth_says(tmp_path: Path) -> None:
    """New things are higher in the later surface, at the very pixels of their outline, with lean and without."""
    folders = write_change_pairs(tmp_path, [34, 37], size_m=70.0, gsd_m=0.16)
    higher = []
    for folder in folders:
        made = _check(folder)
        heights = {}
        for name in ("before", "after"):
            with rasterio.open(folder / f"height_{name}.tif") as file:
                heights[name] = file.read(1)
        for thing in made["things"]:
            if thing["family"] == "construction" and thing["kind"] in ("new", "permitted") and thing["height_m"] > 1.5:
                mask = np.zeros(heights["after"].shape, np.uint8)
                cv2.fillPoly(mask, [np.rint(np.array(thing["polygon"]) / 2).astype(np.int32)], 1)
                if mask.sum() > 30 and mask.size:
                    ground = np.median(heights["before"])
                    higher.append(float(np.median(heights["after"][mask > 0]) - ground))
    stamp = (folders[0] / "after.jpg").stat().st_mtime_ns
    write_change_pairs(tmp_path, [34], size_m=70.0, gsd_m=0.16)
    assert (folders[0] / "after.jpg").stat().st_mtime_ns == stamp
    assert higher
    assert np.median(higher) > 1.0


def test_lean_is_a_pinholes() -> None:
    view = View(10.0, -5.0, 100.0)
    assert view.image_xy(10, -5, 20) == (10, -5)
    assert view.image_xy(60, -5, 20) == pytest.approx((72.5, -5))
    assert View(0, 0, None).image_xy(60, 8, 20) == (60, 8)


def test_composites_change_the_photograph_where_they_say(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    picture = np.clip(rng.normal(120, 3, (500, 700, 3)), 0, 255).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "lawn.png"), picture)
    photo = Photograph(tmp_path / "lawn.png", "lawn", "CC0", 0.08, 60.0, Sun(200, 45))
    made = [_check(f) for f in write_composites(tmp_path / "out", [photo], 2, seed=3)]
    told, elsewhere = [], []
    for scene in made:
        assert scene["scene"]["source"] == "composite"
        inside = np.zeros(scene["after"].shape[:2], np.uint8)
        for thing in scene["things"]:
            outline = np.rint(np.array(thing["polygon"])).astype(np.int32)
            if thing["label"] != "litter":
                cv2.fillPoly(inside, [outline], 1)
        near = cv2.dilate(inside, np.ones((121, 121), np.uint8))
        off = np.abs(cv2.GaussianBlur(scene["after"], (0, 0), 2).astype(float) - scene["after"][near == 0].mean(axis=0))
        told.append(off[inside > 0].mean())
        elsewhere.append(off[near == 0].mean())
    assert np.mean(told) > 5 * np.mean(elsewhere)


def test_bad_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SimulatorError, match="none came"):
        write_composites(tmp_path, [], 1)
    (tmp_path / "x.jpg").write_bytes(b"no picture")
    with pytest.raises(SimulatorError, match="is not a picture"):
        write_composites(tmp_path, [Photograph(tmp_path / "x.jpg", "x", "x", 0.05)], 1)
    with pytest.raises(SimulatorError, match="train or held-out"):
        sample_photographs(tmp_path, "all")


@pytest.mark.skipif(not SHARED.exists(), reason="the shared sample photographs are not here")
def test_held_out_photographs_never_train() -> None:
    train = sample_photographs(SHARED, "train")
    held = sample_photographs(SHARED, "held-out")
    assert not {p.path for p in train} & {p.path for p in held}
    assert not {p.place for p in train} & {p.place for p in held}
    assert not any("toledo" in str(p.path) or "dump" in str(p.path) or "tiled" in str(p.path) for p in train)
