"""`yunxun train`, `yunxun evaluate` and `yunxun rollback`: the models."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from yunxun.commands.imaging import AsJson
from yunxun.console import command, progress_bar
from yunxun.errors import YunxunError
from yunxun.settings import load_settings

if TYPE_CHECKING:
    from yunxun.console import Report

# Towns of this seed and above are for training; lower seeds are the demo's and the benchmarks'.
FIRST_TRAINING_TOWN = 1000


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
    from inference.training.train import TrainSettings
    from inference.training.train import train as run

    folder = out or data / f"model-{family}"
    with progress_bar(as_json) as report:
        make_scenes(data, family, towns, photographs, report)
        card = run(family.value, [data], folder, TrainSettings(steps=steps, threads=threads), resume, report)
    result = card.model_dump(mode="json")
    return result, [f"written to {folder}; measure it with `yunxun evaluate --data {data}`"]


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
    as_json: AsJson = False,
) -> tuple[dict[str, Any], list[str]]:
    """Measure the models on held-out places: recall, precision, AP50, false per km2, ECE, with 95 % intervals.

    Example: yunxun evaluate --data training/
    """
    from inference.engine import read_card
    from inference.registry import serving_folder
    from inference.training.evaluate import FAMILY, judge_held_out
    from inference.training.evaluate import evaluate as measure

    cards = {FAMILY[name]: read_card(serving_folder(name, models)) for name in FAMILY}
    with progress_bar(as_json) as report:
        scenes = judge_held_out(data, models, report)
    measured = measure(scenes, {name: card.threshold for name, card in cards.items()})
    result: dict[str, Any] = {"scenes": len(scenes), "places": len({scene.place for scene in scenes})}
    lines = [f"{len(scenes)} scenes of held-out places"]
    for name, values in measured.items():
        result[name] = {key: {"value": m.value, "low": m.low, "high": m.high} for key, m in values.items()}
        lines.append(f"{name} ({cards[name].name}, from p = {cards[name].threshold:g})")
        lines += [f"  {key:<22} {value}" for key, value in values.items()]
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
    app.command()(rollback)
