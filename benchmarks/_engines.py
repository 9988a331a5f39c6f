"""The same network by every engine that is installed: CPU-seconds a window, and distance from torch."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from inference.engine import MEAN, SPREAD, Model, to_onnx
from inference.networks import ChangeNet

SIDE_PX, REPEATS = 512, 5
Run = Callable[[], NDArray[np.float32]]


def _cpu_s(run: Run) -> float:
    run()
    best = float("inf")
    for _ in range(REPEATS):
        started = time.process_time()
        run()
        best = min(best, time.process_time() - started)
    return best


def _openvino(model: Model, images: list[NDArray[np.uint8]]) -> Run | None:
    try:
        import openvino
    except ImportError:
        return None
    core = openvino.Core()
    options = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(to_onnx(model.network)), "CPU", options)
    request = compiled.create_infer_request()

    def run() -> NDArray[np.float32]:
        inputs = [np.ascontiguousarray(((i.astype(np.float32) - MEAN) / SPREAD).transpose(0, 3, 1, 2)) for i in images]
        return np.asarray(request.infer(inputs)[compiled.output(0)], np.float32)

    return run


def timed_engines(model: Model) -> dict[str, tuple[float, float]]:
    """CPU-seconds a window on one thread and greatest distance from torch, by engine."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    days = 2 if isinstance(model.network, ChangeNet) else 1
    images = [rng.integers(0, 256, (1, SIDE_PX, SIDE_PX, 3), np.uint8) for _ in range(days)]
    by_torch = Model(model.card, model.network, "cpu")
    runs: dict[str, Run | None] = {
        "torch": lambda: by_torch.logits(*images),
        "ONNX Runtime": lambda: model.logits(*images),
        "OpenVINO": _openvino(model, images),
    }
    truth = by_torch.logits(*images)
    return {name: (_cpu_s(run), float(np.abs(run() - truth).max())) for name, run in runs.items() if run is not None}
