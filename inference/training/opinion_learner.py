"""The second opinion while it learns: settings, learning rate, one step after another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from inference.networks import OpinionNet

# Share of the truth that is given to the other classes.
SMOOTHING = 0.02


@dataclass(frozen=True)
class OpinionSettings:
    """How to train it: batches, chips a batch, the learning rate, the seed, the share of stitched scenes."""

    steps: int = 1500
    batch: int = 64
    rate: float = 2e-3
    seed: int = 7
    stitched: float = 0.5


def rate_at(step: int, steps: int) -> float:
    """Share of the learning rate: warm for fifty steps, then a cosine down to a fiftieth."""
    return float(min(1.0, (step + 1) / 50) * (0.02 + 0.49 * (1 + np.cos(np.pi * step / steps))))


class OpinionLearner:
    """A network that learns, and the running mean of its weights, which is what is kept."""

    def __init__(self, settings: OpinionSettings, start: OpinionNet | None) -> None:
        self.settings = settings
        self.network = OpinionNet()
        if start is not None:
            self.network.load_state_dict(start.state_dict())
        self.network.train()
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=settings.rate, weight_decay=2e-2)
        self.average = {name: value.detach().clone() for name, value in self.network.state_dict().items()}

    def step(self, step: int, chips: torch.Tensor, kinds: torch.Tensor) -> float:
        """Learns from one batch; returns its loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.rate * rate_at(step, self.settings.steps)
        loss = functional.cross_entropy(self.network(chips), kinds, label_smoothing=SMOOTHING)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 2.0)
        self.optimiser.step()
        keep = min(0.99, (step + 1) / (step + 10))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                self.average[name].lerp_(value, 1 - keep)
        return float(loss.detach())

    def learnt(self) -> OpinionNet:
        """The mean of what it was."""
        self.network.load_state_dict(self.average)
        return self.network.eval()
