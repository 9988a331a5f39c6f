"""A network ready to serve: weights checked by hash, run by ONNX Runtime on a CPU or torch on CUDA.

Weights are safetensors only: a pickle can run code. The ONNX graph is made in memory from those weights, so there is
one file to keep and to hash.
"""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors

from inference.errors import InferenceError
from inference.networks import ChangeNet, WasteNet

ModelFamily = Literal["change", "waste"]
Device = Literal["cpu", "cuda"]
# ImageNet mean and spread as the backbone was trained with.
MEAN, SPREAD = 127.0, 128.0


class ModelCard(BaseModel):
    """`card.json` beside a model's weights: what it is, what it learnt from, what is known of it.

    `gsd_m` is the ground distance of one input pixel; `calibration` the logistic weights by feature name.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    schema_version: Literal[1] = 1
    name: str
    family: ModelFamily
    created_utc: str
    weights: str
    sha256: str
    gsd_m: float
    parameters: int
    data: dict[str, int] = {}
    licence: str = ""
    metrics: dict[str, float] = {}
    limits: str = ""
    calibration: dict[str, float] = {}
    threshold: float = 0.5


@dataclass
class Model:
    """A served network: `logits(images...)` takes uint8 (b, h, w, 3) arrays, gives float32 (b, c, h / 2, w / 2)."""

    card: ModelCard
    network: ChangeNet | WasteNet
    device: Device
    session: onnxruntime.InferenceSession | None = None

    def logits(self, *images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Runs the network on one batch; sides are multiples of 32."""
        inputs = [np.ascontiguousarray(((i.astype(np.float32) - MEAN) / SPREAD).transpose(0, 3, 1, 2)) for i in images]
        if self.session is not None:
            feed = {spec.name: value for spec, value in zip(self.session.get_inputs(), inputs, strict=True)}
            result: NDArray[np.float32] = np.asarray(self.session.run(None, feed)[0], np.float32)
            return result
        with torch.inference_mode():
            tensors = [torch.from_numpy(value).to(self.device) for value in inputs]
            return self.network(*tensors).float().cpu().numpy()


def sigmoid(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logit to probability, without overflow."""
    return (0.5 * (1.0 + np.tanh(0.5 * x))).astype(np.float32)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_card(folder: Path) -> ModelCard:
    """Reads `card.json` of a model folder.

    Raises:
        InferenceError: Missing or malformed.
    """
    path = folder / "card.json"
    if not path.is_file():
        raise InferenceError(f"no model card at {path}: expected a model folder with card.json and safetensors weights")
    try:
        return ModelCard.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        raise InferenceError(
            f"{path} is not a model card: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        ) from error


def new_network(family: ModelFamily) -> ChangeNet | WasteNet:
    """An untrained network of a family."""
    return ChangeNet() if family == "change" else WasteNet()


def load_network(folder: Path, card: ModelCard) -> ChangeNet | WasteNet:
    """Reads weights into a network after checking their hash.

    Raises:
        InferenceError: The file is missing, altered, or of another network.
    """
    path = folder / card.weights
    if path.suffix != ".safetensors":
        raise InferenceError(
            f"{path}: weights must be .safetensors (a pickle can run code); train or install them again"
        )
    if not path.is_file():
        raise InferenceError(f"no weights at {path}: reinstall the package, or roll back to an earlier model")
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != card.sha256:
        raise InferenceError(
            f"{path} is corrupt: expected SHA-256 {card.sha256[:12]}…, found {found[:12]}…; reinstall it or roll back"
        )
    try:
        state = {name: tensor.float() for name, tensor in load_tensors(data).items()}
        network = _shaped_as(state, card.family)
        network.load_state_dict(state)
    except (SafetensorError, RuntimeError) as error:
        raise InferenceError(f"{path} does not fit the {card.family} network: {str(error).splitlines()[0]}") from error
    return network.eval()


def _shaped_as(state: dict[str, torch.Tensor], family: ModelFamily) -> ChangeNet | WasteNet:
    """A network of a family as old as its weights: without a second opinion, without a steady or a texture branch."""
    network = new_network(family)
    if isinstance(network, ChangeNet) and not any(name.startswith("opinion.") for name in state):
        network.opinion = None
    for branch in ("steady", "texture") if isinstance(network, WasteNet) else ():
        if not any(name.startswith(f"{branch}.") for name in state):
            setattr(network, branch, None)
    return network


def _threads() -> int:
    return max(1, int(os.environ.get("OMP_NUM_THREADS", "0") or 0) or min(4, os.cpu_count() or 1))


def to_onnx(network: ChangeNet | WasteNet) -> bytes:
    """The network as an ONNX graph (batch and size free)."""
    names = ["before", "after"] if isinstance(network, ChangeNet) else ["image"]
    example = tuple(torch.zeros(1, 3, 64, 64) for _ in names)
    free = {name: {0: "batch", 2: "height", 3: "width"} for name in [*names, "logits"]}
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The dynamo exporter failed on detectors of this kind; the scripted one is enough for convolutions.
        torch.onnx.export(
            network,
            example,
            buffer,  # type: ignore[arg-type]  # the scripted exporter takes a stream too
            dynamo=False,
            input_names=names,
            output_names=["logits"],
            dynamic_axes=free,
            opset_version=17,
        )
    return buffer.getvalue()


def to_session(network: ChangeNet | WasteNet) -> onnxruntime.InferenceSession:
    """The network in ONNX Runtime.

    One 512 px window on one core: torch 0.34 / 0.21 CPU-s (change / waste), ONNX Runtime 0.12 / 0.10, OpenVINO 2026.4
    0.14 / 0.10 (benchmarks/detect.py --rows engines): no reason for a second engine of 180 MB.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # An arena keeps the most that either network ever took; without one 40,000 px rasters stay below a gigabyte.
    options.enable_cpu_mem_arena = False
    return onnxruntime.InferenceSession(to_onnx(network), options, providers=["CPUExecutionProvider"])


def load_model(folder: Path, device: Device | None = None) -> Model:
    """Loads a model folder for serving: CUDA by torch where there is one, else ONNX Runtime.

    Args:
        folder: Holds `card.json` and the safetensors it names.
        device: To force an engine; chosen by what the machine has when None.

    Raises:
        InferenceError: Missing, altered or unfitting weights.
    """
    card = read_card(folder)
    network = load_network(folder, card)
    chosen: Device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if chosen == "cuda":
        return Model(card, network.to("cuda"), "cuda")
    return Model(card, network, "cpu", to_session(network))
