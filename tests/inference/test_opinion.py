"""Chips show a candidate where it is, on both days and in both surfaces, when served and when trained on."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import Affine

from inference.engine import Model, ModelCard, load_model
from inference.heights import open_surfaces
from inference.networks import OPINION_INPUTS, ChangeNet
from inference.opinion import CHIP_PX, Chip, chip_of, has_opinion, inputs, opinions, spacing_m
from inference.registration import Shift
from inference.training.camouflage import camouflaged
from inference.training.opinion_learner import OpinionSettings
from inference.training.opinions import STRUCTURE, Ground, chip_sample, read_grounds, train_opinion
from inference.training.scenes import Thing
from inference.training.train import LIMITS, TrainSettings, train
from inference.windows import Grid, on_grid, open_raster
from tests.inference.conftest import CRS, ORIGIN, WriteRaster, ground_texture

SHED = shapely.box(ORIGIN[0] + 40, ORIGIN[1] - 46, ORIGIN[0] + 46, ORIGIN[1] - 42)
GRID = Grid(CRS, 0.16, *ORIGIN, 600, 600)
RED = (220, 40, 30)


def _chip(write_raster: WriteRaster, slip_px: int) -> Chip:
    """A red shed of 6 x 4 m, 3 m high, new on ground whose earlier mosaic lies `slip_px` to the left."""
    ground = ground_texture(600)
    after = ground.copy()
    cols, rows = slice(250, 288), slice(262, 288)
    after[rows, cols] = RED
    before = np.roll(ground, -slip_px, axis=1)
    low = np.full((200, 200), 60, np.float32)
    high = low + 1.5
    high[84:92, 80:92] += 3.0
    with ExitStack() as stack:
        views = [
            stack.enter_context(on_grid(stack.enter_context(open_raster(write_raster(name, image, 0.16))), GRID))
            for name, image in (("now.tif", after), ("then.tif", before))
        ]
        heights = (write_raster("high.tif", high, 0.5), write_raster("low.tif", low, 0.5))
        surfaces = stack.enter_context(open_surfaces(*heights, CRS))
        chip = chip_of(SHED, GRID, views[0], views[1], Shift(float(slip_px), 0.0, 1.0), surfaces)
    assert chip is not None
    return chip


@pytest.mark.parametrize("slip_px", [0, 37])
def test_a_chip_shows_both_days_and_the_rise_under_the_outline(write_raster: WriteRaster, slip_px: int) -> None:
    chip = _chip(write_raster, slip_px)
    core = cv2.erode(chip.mask, np.ones((3, 3), np.uint8)) > 0
    about = cv2.dilate(chip.mask, np.ones((5, 5), np.uint8)) == 0
    assert chip.mask.sum() * chip.gsd_m**2 == pytest.approx(24.0, rel=0.15)
    assert np.abs(chip.after[core].astype(int) - RED).max() < 30
    assert np.abs(chip.after[about].astype(int) - chip.before[about]).mean() < 12
    planes = inputs(chip)
    assert planes.shape == (OPINION_INPUTS, CHIP_PX, CHIP_PX)
    assert planes[6][core].mean() * 1.5 == pytest.approx(3.0, abs=0.4)
    assert abs(planes[6][about]).mean() < 0.1


def test_a_large_thing_fits_on_its_chip() -> None:
    hall = shapely.box(0, 0, 60, 20)
    assert spacing_m(hall) * CHIP_PX > 60 / 0.65
    assert spacing_m(SHED) * CHIP_PX == pytest.approx(16.0)


def test_without_surfaces_the_heights_are_marked_unknown(write_raster: WriteRaster) -> None:
    whole = _chip(write_raster, 0)
    planes = inputs(Chip(whole.before, whole.after, None, None, whole.mask, whole.gsd_m))
    assert not planes[6:9].any()


def test_a_model_without_opinion_has_none(write_raster: WriteRaster) -> None:
    chip = _chip(write_raster, 0)
    network = ChangeNet().eval()
    card = ModelCard(name="x", family="change", created_utc="", weights="", sha256="", gsd_m=0.16, parameters=0)
    model = Model(card, network, "cpu")
    first, none, again = opinions(model, [chip, None, chip])
    assert none is None and first is not None and first == pytest.approx(again)
    network.opinion = None
    assert opinions(model, [chip]) == [None]


def _scene(folder: Path) -> None:
    folder.mkdir(parents=True)
    before = ground_texture(400)
    after = before.copy()
    after[180:200, 150:190] = RED
    low = np.full((200, 200), 5, np.float32)
    high = low.copy()
    high[90:100, 75:95] += 2.5
    for name, image, height in (("before", before, low), ("after", after, high)):
        cv2.imwrite(str(folder / f"{name}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        profile = {"driver": "GTiff", "width": 200, "height": 200, "count": 1, "dtype": "float32"}
        with rasterio.open(folder / f"height_{name}.tif", "w", transform=Affine.scale(1.0), **profile) as file:
            file.write(height, 1)
    (folder / "scene.json").write_text('{"place": "a", "source": "simulator", "gsd_m": 0.16}')
    (folder / "truth.json").write_text(
        '{"things": [{"family": "construction", "kind": "new", "label": "shed",'
        ' "polygon": [[150, 180], [190, 180], [190, 200], [150, 200]]}]}'
    )


def test_training_chips_show_the_thing_under_the_outline(tmp_path: Path) -> None:
    _scene(tmp_path / "scene-a")
    (ground,) = read_grounds([tmp_path], None)
    rises, seen = [], 0
    for seed in range(40):
        planes, kind = chip_sample(ground, np.random.default_rng(seed))
        if kind != STRUCTURE or not planes[8].any():
            continue
        core = cv2.erode(planes[10], np.ones((3, 3), np.uint8)) > 0
        if core.sum() > 12:
            seen += 1
            rises.append(float(np.median(planes[6][core])) * 1.5)
    assert seen > 10
    assert np.median(rises) == pytest.approx(2.5, abs=0.5)


def test_training_is_the_same_twice_and_needs_heights(tmp_path: Path) -> None:
    _scene(tmp_path / "scene-a")
    settings = OpinionSettings(steps=2, batch=4)
    one, two = (train_opinion([tmp_path], settings) for _ in range(2))
    assert one is not None and two is not None
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert np.array_equal(a.detach().numpy(), b.detach().numpy())
    (tmp_path / "scene-a" / "height_before.tif").unlink()
    assert train_opinion([tmp_path], settings) is None


def test_training_goes_on_from_a_start(tmp_path: Path) -> None:
    _scene(tmp_path / "scene-a")
    first = train_opinion([tmp_path], OpinionSettings(steps=2, batch=4))
    assert first is not None
    still = train_opinion([tmp_path], OpinionSettings(steps=1, batch=4, rate=0.0), start=first)
    assert still is not None
    for a, b in zip(first.parameters(), still.parameters(), strict=True):
        assert np.allclose(a.detach().numpy(), b.detach().numpy())


def test_some_rendered_heights_stay_sharp_and_matched_ones_never_do(tmp_path: Path) -> None:
    _scene(tmp_path / "scene-a")
    (ground,) = read_grounds([tmp_path], None)

    def sharp(which: Ground) -> int:
        chips = (chip_sample(which, np.random.default_rng(seed))[0] for seed in range(60))
        # Flat ground on both days rises nowhere by anything where nothing disturbed it.
        return sum(planes[8].sum() > 500 and float((planes[6] == 0.0)[planes[8] > 0].mean()) > 0.3 for planes in chips)

    assert 5 < sharp(ground) < 40
    assert sharp(replace(ground, rendered=False)) == 0


def test_camouflage_takes_the_colour_of_the_ground() -> None:
    image = np.full((100, 100, 3), (90, 120, 60), np.uint8)
    image[40:60, 40:70] = RED
    thing = Thing(family="construction", kind="new", polygon=((40, 40), (70, 40), (70, 60), (40, 60)))
    here = np.array([[1.0, 0, 0], [0, 1.0, 0]])
    apart = [
        np.abs(camouflaged(image, [thing], here, np.random.default_rng(s))[50, 55].astype(int) - (90, 120, 60)).max()
        for s in range(10)
    ]
    assert min(apart) < 30 and np.median(apart) < 100


@pytest.mark.slow
def test_training_for_change_brings_an_opinion_along(tmp_path: Path) -> None:
    _scene(tmp_path / "data" / "scene-a")
    card = train("change", [tmp_path / "data"], tmp_path / "model", TrainSettings(steps=1, batch=1))
    model = load_model(tmp_path / "model", "cpu")
    assert has_opinion(model) and card.parameters <= LIMITS["change"]
    start = TrainSettings(steps=1, batch=1, start=tmp_path / "model", mine=False)
    train("change", [tmp_path / "data"], tmp_path / "next", start)
    again = load_model(tmp_path / "next", "cpu")
    assert isinstance(model.network, ChangeNet) and isinstance(again.network, ChangeNet)
    assert model.network.opinion is not None and again.network.opinion is not None
    for a, b in zip(model.network.opinion.parameters(), again.network.opinion.parameters(), strict=True):
        assert np.allclose(a.detach().numpy(), b.detach().numpy(), atol=1e-3)
