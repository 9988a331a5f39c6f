"""The models' verbs end to end on a small set: trained, calibrated, measured, taught by reviews, rolled back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import shapely
from pyproj import Transformer
from shapely.geometry import mapping

from inference.engine import load_model, read_card
from inference.registry import promote, serving_folder
from inference.sureness import FAVOUR
from inference.training.evaluate import scene_request, scene_truth
from inference.training.scenes import held_out, scene_folders
from inference.training.scenes import read_card as read_scene_card
from inference.training.train import TrainSettings, train
from inference.training.trial import calibrate_new
from tests.yunxun.test_cli import run
from yunxun.workspace import PatrolFolder

TOWNS = 18

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes of the simulator, and a model that four batches have taught nothing."""
    folder = tmp_path_factory.mktemp("training")
    code, out, _ = run("train", "waste", "--data", folder, "--towns", TOWNS, "--steps", 4, "--threads", 1)
    assert code == 0
    assert "written to" in out and "its probabilities are not calibrated: half of the" in out
    return folder


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that went on from the packaged one, calibrated as `yunxun train` does it."""
    folder = tmp_path_factory.mktemp("model") / "waste"
    settings = TrainSettings(steps=4, threads=1, mine=False, start=serving_folder("waste", None))
    train("waste", [data], folder, settings)
    measures = calibrate_new("waste", folder, [data], None, folder.parent / "trial")
    assert measures["wanted"].value > 0
    return folder


def test_a_model_that_cannot_be_calibrated_is_kept(data: Path) -> None:
    """Hours of training are not lost because the held-out places hold too little."""
    card = read_card(data / "model-waste")
    assert card.calibration == {}
    assert load_model(data / "model-waste", "cpu").card == card


def test_a_trained_model_is_calibrated_with_and_without_frames(trained: Path) -> None:
    """Its card has weights for a patrol, for a mosaic alone and for one picture."""
    card = read_card(trained)
    assert {name.split("_")[0] for name in card.calibration} >= {"bias", "looks", "alone", "bare"}
    assert 0.2 < card.threshold <= 0.5


def test_a_trained_model_is_measured_before_it_serves(data: Path, trained: Path, tmp_path: Path) -> None:
    """By its folder, without a registry of its own."""
    code, out, _ = run("evaluate", "--data", data, "--model", trained, "--pictures", tmp_path / "mistakes", "--json")
    assert code == 0
    measures = json.loads(out)
    assert measures["sanitation"]["wanted"]["value"] > 0
    assert 0.0 <= measures["sanitation"]["ap50"]["low"] <= measures["sanitation"]["ap50"]["high"] <= 1.0
    assert all(Path(picture).is_file() for picture in measures["pictures"])
    card = read_card(trained)
    code, out, _ = run("evaluate", "--data", data, "--model", trained)
    assert f"sanitation ({card.name}, from p = {card.threshold:g})" in out


def reviewed(data: Path, patrols: Path) -> Path:
    """A patrol over a training town whose heaps were confirmed, as the API tells its reviews."""
    scene = next(f for f in scene_folders(data) if not held_out(read_scene_card(f).place))
    patrol = PatrolFolder(patrols / "2026-11-23-lanshan-01")
    patrol.ensure_record(patrol_id="P1")
    request = scene_request(scene, patrol.root, None)
    request.mosaic.rename(patrol.mosaic)
    to_wgs84 = Transformer.from_crs("EPSG:32650", "EPSG:4326", always_xy=True)
    items = [
        {
            "id": f"P1/{n}", "patrol_id": "P1", "family": "sanitation", "label": "waste_heap", "state": "accepted",
            "reason": None,
            "geometry": mapping(shapely.transform(thing.polygon, to_wgs84.transform, interleaved=False)),
        }
        for n, thing in enumerate(scene_truth(scene, two_days=False), 1) if thing.family == "sanitation"
    ]  # fmt: skip
    path = patrols / "reviews.json"
    path.write_text(json.dumps(items))
    return path


def test_reviews_teach_and_what_was_learnt_can_be_taken_back(data: Path, tmp_path: Path) -> None:
    """What frames are worth, the favour and the threshold stay as they were."""
    reviews, registry = reviewed(data, tmp_path / "patrols"), tmp_path / "models"
    arguments = ("--data", data, "--patrols", tmp_path / "patrols", "--reviews", reviews, "--models", registry)
    code, out, _ = run("learn", "waste", *arguments, "--steps", 4, "--threads", 1, "--json")
    assert code == 0
    told = json.loads(out)
    assert told["verdicts"] == len(json.loads(reviews.read_text()))
    assert told["promoted"] == (not told["why"].startswith("worse"))
    learnt, packaged = read_card(registry / told["model"]), read_card(serving_folder("waste", None))
    assert learnt.calibration["looked"] == packaged.calibration["looked"]
    assert learnt.calibration.get(FAVOUR) == packaged.calibration.get(FAVOUR)
    assert learnt.threshold == packaged.threshold
    if not told["promoted"]:
        promote("waste", told["model"], registry, "by hand")
    assert serving_folder("waste", registry).name == told["model"]
    code, out, _ = run("rollback", "waste", "--models", registry, "--why", "more false alarms", "--json")
    assert code == 0 and json.loads(out)["serving"] != told["model"]
