"""Which model serves: the packaged one, or one learnt later from reviews, with a way back.

A registry is a folder of model folders and a `serving.json` that lists, by family, what has served in turn; the last
one serves. Nothing is ever removed: which model made which detection stays answerable.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from inference.engine import Model, ModelFamily, file_sha256, load_model, read_card
from inference.errors import InferenceError
from inference.files import write_atomic

PACKAGED = Path(__file__).parent / "weights"


class Turn(BaseModel):
    """One change of the serving model."""

    model_config = ConfigDict(frozen=True)

    model: str
    since_utc: datetime
    why: str = ""


class Serving(BaseModel):
    """`serving.json`: by family, what served in turn; the packaged model before the first and after a full rollback."""

    model_config = ConfigDict(frozen=True)

    schema_version: Literal[1] = 1
    turns: dict[ModelFamily, tuple[Turn, ...]] = {}


def read_serving(models_dir: Path) -> Serving:
    """Reads `serving.json`; an empty history where there is none.

    Raises:
        InferenceError: Malformed.
    """
    path = models_dir / "serving.json"
    if not path.is_file():
        return Serving()
    try:
        return Serving.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InferenceError(
            f"{path} is not a model registry: {error.errors()[0]['msg']}; restore or remove it"
        ) from error


def serving_folder(family: ModelFamily, models_dir: Path | None) -> Path:
    """The folder of the model that serves a family."""
    if models_dir is not None:
        turns = read_serving(models_dir).turns.get(family, ())
        if turns and turns[-1].model != "packaged":
            return models_dir / turns[-1].model
    return PACKAGED / family


@lru_cache(maxsize=4)
def _loaded(folder: Path, _sha256: str) -> Model:
    return load_model(folder)


def serving_model(family: ModelFamily, models_dir: Path | None = None) -> Model:
    """The model that serves a family, loaded once a process.

    Raises:
        InferenceError: Missing or altered weights.
    """
    folder = serving_folder(family, models_dir)
    card = read_card(folder)
    weights = folder / card.weights
    return _loaded(folder, file_sha256(weights) if weights.is_file() else "")


def _write(models_dir: Path, serving: Serving) -> None:
    write_atomic(models_dir / "serving.json", serving.model_dump_json(indent=1).encode())


def _append(models_dir: Path, family: ModelFamily, turn: Turn) -> None:
    serving = read_serving(models_dir)
    turns = {**serving.turns, family: (*serving.turns.get(family, ()), turn)}
    _write(models_dir, Serving(turns=turns))


def install(model_dir: Path, models_dir: Path) -> str:
    """Copies a trained model folder into the registry without serving it.

    Returns:
        The model's name there.

    Raises:
        InferenceError: It does not load, or another model of that name is there.
    """
    card = load_model(model_dir, "cpu").card
    target = models_dir / card.name
    if target.exists():
        if read_card(target).sha256 == card.sha256:
            return card.name
        raise InferenceError(f"{target} holds another model: give the new one another name")
    temporary = models_dir / f".{card.name}.part"
    shutil.rmtree(temporary, ignore_errors=True)
    models_dir.mkdir(parents=True, exist_ok=True)
    shutil.copytree(model_dir, temporary)
    temporary.rename(target)
    return card.name


def promote(family: ModelFamily, name: str, models_dir: Path, why: str) -> None:
    """Lets an installed model serve from now on.

    Raises:
        InferenceError: Not installed, or of another family.
    """
    card = read_card(models_dir / name)
    if card.family != family:
        raise InferenceError(f"{name} is a {card.family} model: expected one for {family}")
    _append(models_dir, family, Turn(model=name, since_utc=datetime.now(UTC), why=why))


def rollback(family: ModelFamily, models_dir: Path, why: str) -> str:
    """Lets the model before the serving one serve again; the history grows, nothing is forgotten.

    Returns:
        The name that serves now.

    Raises:
        InferenceError: The packaged model serves already.
    """
    turns = read_serving(models_dir).turns.get(family, ())
    serving = turns[-1].model if turns else "packaged"
    if serving == "packaged":
        raise InferenceError(f"nothing to roll back for {family}: the packaged model serves")
    first = next(i for i, turn in enumerate(turns) if turn.model == serving)
    earlier = turns[first - 1].model if first > 0 else "packaged"
    _append(models_dir, family, Turn(model=earlier, since_utc=datetime.now(UTC), why=why))
    return earlier
