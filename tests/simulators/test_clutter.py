"""What stands about, what is dumped, what roofs are made of: all of it paints, and none of it moves a plain town."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from simulators import props, roofs, vehicles, waste
from simulators.changes import Changes
from simulators.clutter import FREQUENT, Clutter
from simulators.dataset import write_change_pairs
from simulators.matching import Look, crispness
from simulators.raster import Grid
from simulators.restyle import COVERS
from simulators.things import VEHICLES, Building, Prop
from simulators.town import build_town
from simulators.weathering import quality, weathered


@pytest.fixture(scope="module")
def town():
    return build_town(41, size_m=(110, 110))


def test_clutter_moves_between_days_and_stands_clear_of_what_came(town) -> None:
    clutter = Clutter(3, 1.5)
    changes = Changes(5, buildings=2, garbage=3, extensions=2, walls=1, lenient=True, rich=True)
    first, later = town.day(0, clutter=clutter), town.day(1, changes=changes, clutter=clutter)
    came, went = {c.label for c in later.stuff if c.day == 1}, {c.label for c in first.stuff if c.day == -1}
    assert len(came) >= 3
    assert went
    assert not any(c.day == 1 for c in first.stuff)
    assert not any(c.day == -1 for c in later.stuff)
    stood = {c.polygon.wkt for c in first.stuff if c.day == 0}
    assert {c.polygon.wkt for c in later.stuff if c.day == 0} <= stood
    for thing in later.stuff:
        assert not any(thing.polygon.intersects(change.polygon) for change in later.changes)
    assert all(c.family == "none" for c in later.stuff)
    assert {c.label for c in later.changes} & {"extension", "wall", "waste_heap", "construction_waste"}


def test_a_plain_town_has_none_of_it(town) -> None:
    day = town.day(1, changes=Changes.by_seed(2, lenient=True))
    assert day.scene.things.props == []
    assert day.stuff == ()
    assert {car.kind for car in day.scene.things.cars} <= {"car", "van", "truck"}
    assert all(tree.hue is None for tree in day.scene.things.trees)
    assert {b.cover for b in day.scene.things.buildings} <= {"tile", "steel", "membrane", "concrete"}


def test_autumn_turns_most_broad_crowns_and_summer_few(town) -> None:
    def share(season: str) -> float:
        trees = [t for t in town.day(1, season=season, clutter=Clutter(1)).scene.things.trees if t.species != "conifer"]
        return sum(t.hue is not None for t in trees) / len(trees)

    assert share("summer") < 0.3 < 0.45 < share("autumn")


@pytest.mark.parametrize("kind", sorted(props.KINDS))
def test_every_prop_paints_within_its_outline(kind: str) -> None:
    grid = Grid(-6, 6, 0.08, 150, 150)
    thing = Prop(0, 0, 7.0, 4.0, 30.0, 1.0, kind, (120, 110, 100), 77)
    height, rgb, inside = props.prop(grid, thing, np.full((150, 150, 3), 90, np.float32))
    area = inside.sum() * 0.08**2
    assert 0.35 * 28 < area <= 28.5
    assert 0 < height[inside].max() < 2.2
    assert rgb[inside].std() > 2
    assert np.isfinite(rgb).all()


@pytest.mark.parametrize("kind", sorted(VEHICLES))
def test_every_vehicle_has_its_size(kind: str) -> None:
    long_m, wide_m, tall_m = VEHICLES[kind]
    patch = vehicles.car(kind, (200.0, 60.0, 50.0), 5)
    rows, cols = np.nonzero(patch.cover > 0.5)
    assert (np.ptp(rows) + 1) * patch.res_m == pytest.approx(long_m, abs=0.25)
    assert (np.ptp(cols) + 1) * patch.res_m <= wide_m + 0.25
    assert patch.height.max() == pytest.approx(tall_m, abs=0.35)


@pytest.mark.parametrize("kind", sorted(waste.MIXES))
def test_every_dump_has_height_and_many_colours(kind: str) -> None:
    patch = waste.dump(kind, 1.6, 0.8, 1.2, 9, tuple([1.0] * 37))
    lies = patch.cover > 0.5
    area = lies.sum() * patch.res_m**2
    assert 0.3 * np.pi * 1.6**2 < area < 1.6 * np.pi * 1.6**2
    assert 0.15 < patch.height[lies].max() < 2.2
    assert patch.rgb[lies].astype(float).std(axis=0).min() > 8
    assert kind in waste.LABELS


@pytest.mark.parametrize("cover", sorted(COVERS))
def test_every_cover_paints_its_roof(cover: str) -> None:
    grid = Grid(-6, 6, 0.08, 150, 150)
    body = Building(0, 0, 8, 6, 20, 3.0, 0.8, COVERS[cover][1][0], cover, (140, 130, 120), (200, 200, 200), "house", 4)
    height, rgb, inside = roofs.roof(grid, body)
    assert inside.sum() * 0.08**2 == pytest.approx(48, rel=0.03)
    assert 2.9 <= height[inside].min() <= height[inside].max() < 4.6
    assert rgb[inside].std() > 3


def test_restyling_keeps_the_layout(town) -> None:
    other = town.restyled(1)
    plain = [replace(b, cover="x", rgb=(0, 0, 0)) for b in town.things.buildings]
    assert [replace(b, cover="x", rgb=(0, 0, 0)) for b in other.things.buildings] == plain
    assert {b.cover for b in other.things.buildings} > {b.cover for b in town.things.buildings}


def test_weathering_varies_and_keeps_the_picture() -> None:
    ramp = np.tile(np.linspace(20, 220, 256, dtype=np.float32)[None, :, None], (256, 1, 3)).astype(np.uint8)
    rng = np.random.default_rng(4)
    made = [weathered(ramp, rng) for _ in range(8)]
    for picture in made:
        assert picture.shape == ramp.shape
        assert picture.dtype == np.uint8
        assert np.corrcoef(picture[..., 1].ravel(), ramp[..., 1].ravel())[0, 1] > 0.97
    assert np.std([p.mean() for p in made]) > 4
    assert 55 <= min(quality(rng) for _ in range(50)) < 80


def test_inserts_become_as_soft_as_the_photograph() -> None:
    import cv2

    rng = np.random.default_rng(2)
    sharp = rng.integers(0, 255, (300, 300, 3)).astype(np.uint8)
    mask = np.ones((300, 300), np.uint8)
    sigmas = [Look.of(cv2.GaussianBlur(sharp, (0, 0), blur)).softness(sharp, mask) for blur in (0.7, 1.2)]
    assert sigmas == pytest.approx([0.7, 1.2], abs=0.15)
    assert crispness(sharp[..., 0].astype(np.float32)) > Look.of(cv2.GaussianBlur(sharp, (0, 0), 1.0)).crispness


def test_rich_scenes_name_their_distractors_and_resume(tmp_path: Path) -> None:
    [folder] = write_change_pairs(tmp_path, [512], size_m=60.0, gsd_m=0.2)
    things = json.loads((folder / "truth.json").read_text())["things"]
    labels = {t["label"] for t in things if t["family"] == "none"}
    assert "vehicle" in labels
    assert len(labels) >= 4
    assert {t["fate"] for t in things if t["family"] == "none" and "fate" in t} >= {"new", "existing"}
    assert labels <= {*FREQUENT, "crown", "solar", "stack", "pool", "soil", "paving"}
