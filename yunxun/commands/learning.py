"""`yunxun train`, `yunxun evaluate`, `yunxun learn` and `yunxun rollback`: the models."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from yunxun.commands.imaging import AsJson
from yunxun.console import command, progress_bar
from yunxun.errors import YunxunError
from yunxun.settings import load_settings

if TYPE_CHECKING:
    from inference.training.learn import LearnReport
    from yunxun.console import Report

# Towns of this seed and above are for training; lower seeds are the demo's and the benchmarks'.
FIRST_TRAINING_TOWN = 1000
# Towns to learn beside where there are no scenes yet: what a retraining of twenty minutes can take in.
LEARN_TOWNS = 40


class Family(StrEnum):
    """The two models."""

    CHANGE = "change"
    WASTE = "waste"


@command
def train(
    family: Annotated[Family, typer.Argument(help="change or waste.")],
    data: Annotated[Path, typer.Option(help="Folder of scenes; made by the simulator where it is empty.")],
    out: Annotated[Path | None, typer.Option(help="Model folder; DATA/model-FAMILY when left out.")] = None,
    towns: Annotated[int, typer.Option(help="Simulated towns to make where DATA is empty.")] = 120,
    photographs: Annotated[Path | None, typer.Option(help="Photographs to build composites on.")] = None,
    steps: Annotated[int, typer.Option(help="Batches; 1,500 take under 2 h on 2 cores.")] = 1500,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")] = False,
    as_json: AsJson = False,
) -> tuple[dict[str, Any], list[str]]:
    """Train a model from the packaged backbone; on CUDA where there is one, longer and larger.

    Example: yunxun train waste --data training/ --resume
    """
    from inference.engine import read_card
    from inference.training.train import TrainSettings
    from inference.training.train import train as run

    folder = out or data / f"model-{family}"
    with progress_bar(as_json) as report:
        make_scenes(data, family, towns, photographs, report)
        run(family.value, [data], folder, TrainSettings(steps=steps, threads=threads), resume, report)
        told = _calibrated(family, folder, data, report)
    again = f"measure it with `yunxun evaluate --data {data} --model {folder}`"
    return read_card(folder).model_dump(mode="json"), [f"written to {folder}; {again}", *told]


def _calibrated(family: Family, folder: Path, data: Path, report: Report) -> list[str]:
    """Calibrates a trained model; why not where it cannot be, for hours of training are not lost over it."""
    from inference.errors import InferenceError
    from inference.training.trial import calibrate_new

    with TemporaryDirectory(prefix="yunxun-trial-") as trial:
        try:
            measures = calibrate_new(family.value, folder, [data], None, Path(trial) / "registry", report)
        except InferenceError as error:
            return [f"its probabilities are not calibrated: {error}"]
    lines = [f"  {key:<22} {value}" for key, value in measures.items()]
    return ["calibrated on half of the held-out places; on the others:", *lines]


def make_scenes(data: Path, family: Family, towns: int, photographs: Path | None, report: Report) -> None:
    """Has the simulator write training scenes where there are none; a broken run goes on where it stopped.

    Raises:
        YunxunError: `data` is a file.
    """
    if data.is_file():
        raise YunxunError(f"{data} is a file: --data takes a folder of scenes")
    if data.is_dir() and any(data.glob("*/scene.json")) and not (data / ".making").exists():
        return
    from simulators.composite import sample_photographs, write_composites
    from simulators.dataset import write_change_pairs, write_waste_tiles

    data.mkdir(parents=True, exist_ok=True)
    (data / ".making").touch()
    write = write_waste_tiles if family is Family.WASTE else write_change_pairs
    write(data, range(FIRST_TRAINING_TOWN, FIRST_TRAINING_TOWN + towns), processes=2, progress=report)
    if photographs is not None:
        write_composites(data, sample_photographs(photographs, "train"), towns, seed=1, progress=report)
    (data / ".making").unlink()


@command
def evaluate(
    data: Annotated[list[Path], typer.Option(help="Folder of scenes; its held-out places are judged.")],
    models: Annotated[Path | None, typer.Option(help="Model registry; the packaged models when left out.")] = None,
    model: Annotated[Path | None, typer.Option(help="Model folder to measure in place of the serving one.")] = None,
    pictures: Annotated[Path | None, typer.Option(help="Draw every miss and every false candidate here.")] = None,
    as_json: AsJson = False,
) -> tuple[dict[str, Any], list[str]]:
    """Measure the models on held-out places: recall, precision, AP50, false per km2, ECE, with 95 % intervals.

    Example: yunxun evaluate --data training/ --pictures mistakes/
    """
    from inference.engine import read_card
    from inference.registry import serving_folder
    from inference.training.evaluate import FAMILY, LEAST_M2, judge_held_out, place_of
    from inference.training.evaluate import evaluate as measure
    from inference.training.pictures import draw_mistakes
    from inference.training.trial import trial_registry

    with TemporaryDirectory(prefix="yunxun-trial-") as trial, progress_bar(as_json) as report:
        if model is not None:
            models = trial_registry(read_card(model).family, model, models, Path(trial) / "registry")
        cards = {FAMILY[name]: read_card(serving_folder(name, models)) for name in FAMILY}
        scenes = judge_held_out(data, models, report)
    thresholds = {name: card.threshold for name, card in cards.items()}
    measured = measure(scenes, thresholds)
    result: dict[str, Any] = {"scenes": len(scenes), "places": len({scene.place for scene in scenes})}
    lines = [f"{len(scenes)} scenes of held-out places"]
    for name, values in measured.items():
        result[name] = {key: {"value": m.value, "low": m.low, "high": m.high} for key, m in values.items()}
        lines.append(f"{name} ({cards[name].name}, from p = {cards[name].threshold:g})")
        lines += [f"  {key:<22} {value}" for key, value in values.items()]
    if pictures is not None:
        drawn = draw_mistakes([place_of(scene) for scene in scenes], thresholds, LEAST_M2, pictures)
        result["pictures"] = [str(path) for path in drawn]
        lines.append(f"{len(drawn)} mistakes drawn in {pictures}")
    return result, lines


@command
def learn(
    family: Annotated[Family, typer.Argument(help="change or waste.")],
    data: Annotated[list[Path], typer.Option(help="Scenes to train on beside the reviews; made where empty.")],
    patrols: Annotated[Path, typer.Option(help="Folder that holds the reviewed patrols.")],
    reviews: Annotated[Path | None, typer.Option(help="Reviewed candidates as JSON, instead of --api.")] = None,
    api: Annotated[str | None, typer.Option(help="Take the reviews from the case API here.")] = None,
    token: Annotated[str | None, typer.Option(help="Token for --api.", envvar="YUNXUN_TOKEN")] = None,
    models: Annotated[Path | None, typer.Option(help="Model registry.")] = None,
    work: Annotated[Path | None, typer.Option(help="Folder of this round; the same one goes on.")] = None,
    steps: Annotated[int, typer.Option(help="Batches; 300 take about 5 minutes on a core.")] = 300,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    as_json: AsJson = False,
) -> tuple[dict[str, Any], list[str]]:
    """Retrain a model with reviewers' verdicts; it serves only if it is no worse on every family.

    Example: yunxun learn waste --data training/ --patrols patrols/ --api http://127.0.0.1:8000
    """
    from inference.training.learn import learn as run
    from inference.training.train import TrainSettings
    from yunxun.verdicts import fetch_reviews, lessons_of, read_reviews

    if (reviews is None) == (api is None):
        raise YunxunError("give the reviews either by --api URL or by --reviews FILE")
    if api is not None and not token:
        raise YunxunError("--api needs --token (or YUNXUN_TOKEN): make one with `yunxun token --role reviewer`")
    items = read_reviews(reviews) if reviews is not None else fetch_reviews(str(api), str(token))
    lessons = lessons_of(items, patrols)
    registry = models or load_settings().data_dir / "models"
    folder = work or registry / f"round-{family.value}-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    settings = TrainSettings(steps=steps, rate=8e-4, threads=threads, mine=False)
    with progress_bar(as_json) as report:
        for scenes in data:
            make_scenes(scenes, family, LEARN_TOWNS, None, report)
        done = run(family.value, lessons.verdicts, data, registry, folder, settings, report)
    return _told(done, lessons.left_out)


def _told(done: LearnReport, left_out: dict[str, int]) -> tuple[dict[str, Any], list[str]]:
    measures = {
        when: {name: {key: m.value for key, m in values.items()} for name, values in found.items()}
        for when, found in (("before", done.before), ("after", done.after))
    }
    result: dict[str, Any] = {
        "family": done.family,
        "model": done.model,
        "verdicts": done.verdicts,
        "left_out": left_out,
        "promoted": done.promoted,
        "why": done.why,
        **measures,
    }
    state = "serves now" if done.promoted else "is kept and does not serve"
    lines = [f"{done.model}: {done.verdicts} reviews learnt, {state}", f"  {done.why}"]
    lines += [f"  left out {count}: {why}" for why, count in sorted(left_out.items())]
    return result, lines


@command
def rollback(
    family: Annotated[Family, typer.Argument(help="change or waste.")],
    why: Annotated[str, typer.Option(help="The reason, for the record.")],
    models: Annotated[Path | None, typer.Option(help="Model registry.")] = None,
    as_json: AsJson = False,
) -> tuple[dict[str, Any], list[str]]:
    """Serve the model that served before.

    Example: yunxun rollback waste --why "more false alarms since Monday"
    """
    from inference.registry import rollback as back

    name = back(family.value, models or load_settings().data_dir / "models", why)
    return {"family": family.value, "serving": name}, [f"{family} is served by {name} again"]


def register(app: typer.Typer) -> None:
    """Adds this room's verbs."""
    app.command()(train)
    app.command()(evaluate)
    app.command()(learn)
    app.command()(rollback)
