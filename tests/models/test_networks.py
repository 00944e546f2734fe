"""Networks: published shapes and counts, the HSV histogram inside one, what each can be built for."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fakeprint import params
from fakeprint.errors import InputError
from fakeprint.features import extract
from fakeprint.models import networks
from fakeprint.models.networks.layers import HSVHistogram
from tests.samples import DEMO

SOURCE = Path(networks.__file__).parents[3]
PARAMS = params.load(DEMO)
OWN = [name for name, entry in networks.NETWORKS.items() if entry.own_layers]
SIZE = {"four_cnn": 64, "trace_net": 64}  # pixels per side of test images; 32 for the others
SMALLEST = {"four_cnn": 46, "five_cnn": 32, "trace_net": 32}  # 16 for the others


def built(
    name: str, size: int = 100, width: float = 1.0, normalisation: str = "unit", **options: int | str
) -> torch.nn.Module:
    torch.manual_seed(0)
    design = networks.Design(5, size, width=width, normalisation=normalisation)
    return networks.build(name, design, options).eval()


def as_published(name: str, size: int) -> torch.nn.Module:
    """On the meta device: shapes only, nothing is computed."""
    with torch.device("meta"):
        return built(name, size)


def shapes(network: torch.nn.Module, size: int, *names: str) -> list[tuple[int, ...]]:
    """Output shapes of the named layers, without N, for images of this size."""
    seen: dict[str, tuple[int, ...]] = {}
    modules = dict(network.named_modules())
    for name in names:
        modules[name].register_forward_hook(lambda _, __, out, name=name: seen.update({name: tuple(out.shape[1:])}))
    network(torch.rand(2, 3, size, size, device=next(network.parameters()).device))
    return [seen[name] for name in names]


def counts(network: torch.nn.Module) -> dict[str, int]:
    return {name: sum(p.numel() for p in child.parameters()) for name, child in network.named_children()}


def test_three_cnn_is_the_published_one() -> None:
    network = built("three_cnn")
    convolved = shapes(network, 100, "block1", "block2", "block3.0", "block3", "head.1.0", "head.2", "head.5")
    assert convolved == [(64, 50, 50), (128, 25, 25), (192, 23, 23), (192, 11, 11), (192, 4, 4), (128,), (5,)]
    assert sum(p.numel() for p in network.parameters()) == 691_781
    assert counts(network)["head"] == 393_344 + 645


def test_four_cnn_is_the_published_one() -> None:
    network = as_published("four_cnn", 224)
    layers = [f"block{block}.{layer}" for block in (1, 2, 3, 4) for layer in (0, 2)]
    sides = [(222, 111), (109, 54), (52, 26), (24, 12)]
    expected = [
        (channels, side, side) for channels, pair in zip((32, 64, 128, 256), sides, strict=True) for side in pair
    ]
    assert shapes(network, 224, *layers, "head.0", "head.1") == [*expected, (256,), (512,)]
    kinds_of = [type(layer).__name__ for layer in network.block1]
    assert kinds_of == ["Conv2d", "ReLU", "MaxPool2d", "BatchNorm2d"]
    assert isinstance(network.block4[2], torch.nn.AvgPool2d)
    # Keras counts four numbers per channel of batch normalisation, two of which are not trained.
    published = {"block1": 896 + 128, "block2": 18_496 + 256, "block3": 73_856 + 512, "block4": 295_168 + 1_024}
    statistics = {name: sum(b.numel() for b in getattr(network, name).buffers()) - 1 for name in published}
    assert {name: counts(network)[name] + statistics[name] for name in published} == published
    assert counts(network)["head"] == 131_584 + 2_565
    assert networks.summary("four_cnn") == networks.NetworkSummary(224, 524_485, 524_485 - 960)


def standard_deviations(network: torch.nn.Module) -> dict[str, float]:
    """Of each weight of a convolution or dense layer, times the square root of its fan in."""
    layers = [
        (name, each) for name, each in network.named_modules() if isinstance(each, torch.nn.Conv2d | torch.nn.Linear)
    ]
    return {name: float(layer.weight.detach().std()) * layer.weight[0].numel() ** 0.5 for name, layer in layers}


def test_four_cnn_starts_as_in_keras() -> None:
    keras, plain = built("four_cnn", 64), built("four_cnn", 64, framework="torch")
    assert {(each.eps, each.momentum) for each in keras.modules() if isinstance(each, torch.nn.BatchNorm2d)} == {
        (1e-3, 0.01)
    }
    # Glorot-uniform: variance 2 / (fan in + fan out), bounds ± √3 standard deviations.
    weight = keras.block3[0].weight.detach()
    bound = (6 / (9 * 64 + 9 * 128)) ** 0.5
    assert 0.99 * bound < weight.abs().max() <= bound
    assert float(weight.std()) == pytest.approx(bound / 3**0.5, rel=0.02)
    assert not any(bias.any() for name, bias in keras.named_parameters() if name.endswith("bias"))
    assert plain.block3[0].bias.any() and plain.block1[3].eps == 1e-5
    assert keras.block3[0].weight.shape == plain.block3[0].weight.shape


def test_hist_cnn_draws_as_torch_or_as_keras() -> None:
    keras, plain = built("hist_cnn", 32, framework="keras"), built("hist_cnn", 32)
    assert (keras.block1[1].eps, keras.head[1].momentum) == (1e-3, 0.01)
    assert (plain.block1[1].eps, plain.head[1].momentum) == (1e-5, 0.1)
    scaled_by = standard_deviations(keras), standard_deviations(plain)
    assert scaled_by[0]["block4.0"] == pytest.approx(2**0.5, rel=0.02)
    assert scaled_by[1]["block4.0"] == pytest.approx((2 / 1.01) ** 0.5, rel=0.02)
    weight = keras.block4[0].weight.detach()
    assert float(weight.abs().max() / weight.std()) < 2 / 0.8796 + 0.01
    assert not keras.head[0].bias.any() and plain.head[0].bias.any()


def test_skip_cnn_is_the_published_one() -> None:
    network = as_published("skip_cnn", 100)
    names = ["block1", "block2", "block3", "pool3", "block4", "head.1.0", "head.2", "head.5"]
    assert shapes(network, 100, *names) == [
        (128, 100, 100),
        (256, 50, 50),
        (512, 50, 50),
        (512, 25, 25),
        (512, 25, 25),
        (512, 6, 6),
        (128,),
        (5,),
    ]
    layers = [
        sum(p.numel() for p in layer.parameters(recurse=False))
        for layer in network.modules()
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear | torch.nn.BatchNorm2d)
    ]
    residual_block = [1_180_160, 1_024, 2_359_808, 1_024, 131_584, 1_024]
    assert layers == [3_584, 256, 295_168, 512, *residual_block, 2_359_808, 1_024, 2_359_424, 645]
    assert networks.summary("skip_cnn") == networks.NetworkSummary(100, 8_695_045, 8_695_045)


def test_skip_cnn_without_its_shortcut() -> None:
    images = torch.rand(2, 3, 16, 16)
    network, plain = (built("skip_cnn", 16, 0.125, residual=residual) for residual in (True, False))
    maps = network.block2(network.block1(images))
    block = network.block3
    torch.testing.assert_close(block(maps), torch.relu(block.main(maps) + block.shortcut(maps)))
    assert sum(p.numel() for p in plain.parameters()) < sum(p.numel() for p in network.parameters())
    assert plain(images).shape == (2, 5)


def test_two_and_five_convolutions_are_the_described_ones() -> None:
    assert shapes(as_published("two_cnn", 100), 100, "block1", "block2", "head.1.0") == [
        (64, 50, 50),
        (128, 25, 25),
        (128, 4, 4),
    ]
    other = built("two_cnn", 32, out1=8, out2=24, kernel=3)
    assert (other.block1[0].weight.shape, other.block2[0].weight.shape) == ((8, 3, 3, 3), (24, 8, 3, 3))
    assert shapes(other, 32, "block1", "block2") == [(8, 16, 16), (24, 8, 8)]
    five = shapes(as_published("five_cnn", 100), 100, *(f"blocks.{block}" for block in range(5)), "head.1.0")
    assert five == [(64, 50, 50), (128, 25, 25), (192, 12, 12), (256, 6, 6), (256, 3, 3), (256, 2, 2)]
    assert networks.summary("two_cnn").parameters == 473_093
    assert networks.summary("five_cnn").parameters == 1_463_365


def test_attention_weights_channels_and_places() -> None:
    network = as_published("attention_cnn", 100)
    blocks = shapes(network, 100, "block1", "block2", "block3", "block4")
    assert blocks == [(64, 50, 50), (128, 25, 25), (192, 12, 12), (256, 6, 6)]
    assert networks.summary("attention_cnn").parameters == 791_185
    _, _, _, channels, places, *_ = built("attention_cnn", 32, 0.25).block1
    maps = torch.rand(2, 16, 8, 8) + 0.1
    by_channel, by_place = channels(maps) / maps, places(maps) / maps
    for factors, shared in ((by_channel, by_channel[:, :, :1, :1]), (by_place, by_place[:, :1])):
        assert 0 < factors.min() < factors.max() < 1
        torch.testing.assert_close(factors, shared.expand_as(factors))


def test_hist_cnn_is_the_described_one() -> None:
    network = built("hist_cnn")
    names = ["block1", "block2", "block3", "block4", "block5", "skip1", "skip3", "histogram", "colours", "head"]
    assert shapes(network, 100, *names) == [
        (32, 50, 50),
        (64, 25, 25),
        (128, 12, 12),
        (256, 12, 12),
        (512, 12, 12),
        (128, 12, 12),
        (512, 12, 12),
        (48,),
        (64,),
        (5,),
    ]
    convolutions = {"block1": 896 + 64, "block2": 18_496 + 128, "block3": 73_856 + 256, "block4": 295_168 + 512}
    assert counts(network) == {
        "input": 0,
        "gather": 0,
        **convolutions,
        "block5": 1_180_160 + 1_024,
        "skip1": 4_224,
        "skip3": 66_048,
        "histogram": 0,
        "colours": 3_136,
        "head": 576 * 512 + 512 + 1_024 + 2_565,
    }


def test_hist_cnn_adds_block_1_to_block_3_and_that_sum_to_block_5() -> None:
    network = built("hist_cnn", 64, 0.25)
    images = torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        first = network.block1(images)
        third = network.block3(network.block2(first)) + network.skip1(first)
        fifth = network.block5(network.block4(third)) + network.skip3(third)
        joined = torch.cat([fifth.mean((2, 3)), network.colours(network.histogram(images))], 1)
        assert torch.equal(network(images), network.head(joined))
        before = network(images)
        for skip in (network.skip1[1], network.skip3):
            torch.nn.init.zeros_(skip.weight)
            assert not torch.allclose(network(images), before)
            before = network(images)


def test_the_histogram_is_that_of_the_feature_set() -> None:
    images = np.random.default_rng(1).integers(0, 256, (6, 40, 36, 3), dtype=np.uint8)
    images[1] = 255
    images[2, :, :, 1:] = 0
    images[3] //= 9
    for bins in (7, 16, 24):
        floats = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
        ours = HSVHistogram(bins)(floats).numpy()
        np.testing.assert_allclose(ours, extract("hsv_hist", {"bins": bins}, images), atol=1e-7)
        np.testing.assert_allclose(ours.sum(1), 1, rtol=1e-6)


def test_the_histogram_of_one_colour() -> None:
    # Pure green: hue 120° is 60 of 180, saturation and value are 255. Of 4 bins: hue 60·4 // 180 = 1, the others 3.
    green = torch.zeros(1, 3, 5, 5)
    green[:, 1] = 1
    expected = torch.tensor([[0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]]) / 3
    torch.testing.assert_close(HSVHistogram(4)(green), expected)


@pytest.mark.parametrize("name", OWN)
def test_logits_at_every_size_and_width(name: str) -> None:
    for size in (SMALLEST.get(name, 16), 100):
        for width in (0.125, 0.25):
            logits = built(name, size, width)(torch.rand(2, 3, size, size))
            assert logits.shape == (2, 5)
            assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", [*OWN, "resnet18"])
def test_normalisation_happens_inside(name: str) -> None:
    side = SIZE.get(name, 32)
    unit, imagenet = built(name, side, 0.125), built(name, side, 0.125, "imagenet")
    imagenet.load_state_dict(unit.state_dict())
    images = torch.rand(2, 3, side, side)
    normalised = imagenet.input(images)
    torch.testing.assert_close(normalised[:, 0], (images[:, 0] - 0.485) / 0.229)
    assert torch.equal(unit.input(images), images)
    torch.testing.assert_close(built(name, side, 0.125, "signed").input(images), 2 * images - 1)
    assert not torch.allclose(unit(images), imagenet(images))


def of_design(name: str, options: dict[str, Any] | None = None, **design: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    design = {"image_size": SIZE.get(name, 32), "width": 0.125, **design}
    return networks.build(name, networks.Design(5, **design), options or {}).eval()


def kinds(network: torch.nn.Module, kind: type[torch.nn.Module]) -> int:
    return sum(isinstance(layer, kind) for layer in network.modules())


@pytest.mark.parametrize("name", OWN)
def test_the_design_is_built(name: str) -> None:
    images = torch.rand(2, 3, SIZE.get(name, 32), SIZE.get(name, 32))
    assert kinds(of_design(name, activation="gelu"), torch.nn.GELU) > 0
    assert kinds(of_design(name, activation="gelu"), torch.nn.ReLU | torch.nn.LeakyReLU) == 0
    assert kinds(of_design(name, norm="group"), torch.nn.BatchNorm2d) == 0
    assert kinds(of_design(name, norm="group"), torch.nn.GroupNorm) == kinds(of_design(name), torch.nn.BatchNorm2d)
    assert kinds(of_design(name, norm="none"), torch.nn.GroupNorm | torch.nn.BatchNorm2d) == 0
    everywhere = kinds(of_design(name, dropout_at="both"), torch.nn.Dropout2d)
    assert everywhere >= 2
    assert kinds(of_design(name, dropout_at="blocks"), torch.nn.Dropout2d) == everywhere
    assert kinds(of_design(name, dropout_at="blocks"), torch.nn.Dropout) == 0
    assert kinds(of_design(name, dropout_at="head"), torch.nn.Dropout2d) == 0
    pooled, flat = of_design(name, head="pool"), of_design(name, head="flatten")
    assert sum(p.numel() for p in flat.parameters()) > sum(p.numel() for p in pooled.parameters())
    for network in (pooled, flat, of_design(name, norm="group", activation="silu", dropout_at="both")):
        assert network(images).shape == (2, 5)


@pytest.mark.parametrize("name", [*OWN, "resnet18"])
def test_images_are_scaled_inside(name: str) -> None:
    side = SIZE.get(name, 32)
    network = of_design(name, image_size=24, input_size=side)
    images = torch.rand(2, 3, 24, 24)
    assert network.input(images).shape == (2, 3, side, side)
    assert torch.equal(network.input(images[:, :, :1, :1].expand(2, 3, 24, 24))[:, :, 0, 0], images[:, :, 0, 0])
    assert network(images).shape == (2, 5)


def test_the_data_s_own_statistics() -> None:
    design = networks.Design(5, 32, normalisation="dataset", channel_mean=(0.5, 0.4, 0.3), channel_std=(0.2, 0.1, 0.3))
    images = torch.rand(2, 3, 32, 32)
    scaled = networks.build("three_cnn", design, {}).input(images)
    torch.testing.assert_close(scaled[:, 1], (images[:, 1] - 0.4) / 0.1)
    with pytest.raises(
        InputError, match=r'model.normalisation: "dataset" needs the channel means and standard deviations'
    ):
        networks.build("three_cnn", networks.Design(5, 32, normalisation="dataset"), {})


def test_dilation_spreads_the_last_convolution() -> None:
    assert shapes(built("three_cnn", dilation=2), 100, "block3.0") == [(192, 21, 21)]


def test_images_too_small_for_the_network() -> None:
    with pytest.raises(InputError, match=r"prepare.image_size: three_cnn with dilation 4 needs .* 40 pixels .* not 32"):
        built("three_cnn", 32, dilation=4)
    assert built("three_cnn", 40, 0.25, dilation=4)(torch.rand(2, 3, 40, 40)).shape == (2, 5)


@pytest.mark.parametrize(("name", "smallest"), [("four_cnn", 46), ("five_cnn", 32), ("specialist", 16)])
def test_images_too_small_for_its_pools(name: str, smallest: int) -> None:
    line = (
        f"prepare.image_size: {name} needs images of at least {smallest} .* not {smallest - 1}; "
        f"set models.{name}.input_size to scale"
    )
    with pytest.raises(InputError, match=line):
        built(name, smallest - 1)
    assert of_design(name, image_size=16, input_size=smallest)(torch.rand(1, 3, 16, 16)).shape == (1, 5)


@pytest.mark.slow
@pytest.mark.parametrize("name", OWN)
def test_overfits_a_few_images(name: str) -> None:
    side = SIZE.get(name, 32)
    # The running statistics of Keras's batch norm need hundreds of steps.
    network = of_design(name, {"framework": "torch"} if name == "four_cnn" else {}, dropout=0.1)
    images, labels = torch.rand(10, 3, side, side), torch.arange(10) % 5
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    right = 0
    if name == "specialist":
        labels = 4 * (labels == 4).long()  # all that it can tell apart
    for step in range(80):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network.train()(images), labels).backward()
        optimiser.step()
        right = int((network.eval()(images).argmax(1) == labels).sum()) if step % 10 == 9 else right
        if right == 10:
            break
    assert right == 10


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_params_offer_what_it_takes(name: str) -> None:
    block = params.Models.model_fields[name].annotation.__args__[0]
    offered = {key: field.default for key, field in block.model_fields.items()}
    shared = params.Network.model_fields
    taken = list(inspect.signature(importlib.import_module(f"{networks.__name__}.{name}").build).parameters.values())[
        1:
    ]
    own = {key: value for key, value in offered.items() if key not in shared}
    defaults = {p.name: p.default for p in taken}
    assert own.keys() == defaults.keys()
    # Which weights params.yaml names is the demo's choice; a network by itself has none.
    assert own | {"weights": None} == defaults | {"weights": None}
    assert PARAMS.network(name).options.keys() == {p.name for p in taken}


def test_summary() -> None:
    assert networks.summary("three_cnn") == networks.NetworkSummary(100, 691_781, 691_781)
    assert networks.summary("hist_cnn") == networks.NetworkSummary(100, 1_942_981, 1_942_981)


def test_the_registry_needs_no_torch() -> None:
    code = "import sys, fakeprint.models.networks as n; assert n.NETWORKS and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=SOURCE)


def test_the_histogram_can_be_left_out() -> None:
    network, without = built("hist_cnn", 32, 0.25), built("hist_cnn", 32, 0.25, bins=0)
    assert without(torch.rand(2, 3, 32, 32)).shape == (2, 5)
    assert not [name for name, _ in without.named_modules() if name.startswith(("histogram", "colours"))]
    assert network.head[0].in_features - without.head[0].in_features == network.colours[0].out_features


def test_a_specialist_tells_its_class_from_the_others() -> None:
    """It is logistic regression in the clothes of five classes: the same probability, and the same gradient."""
    network, labels = built("specialist", 32, 0.25, target=2), torch.tensor([0, 1, 2, 3, 4, 2])
    own = torch.randn(6, 1, requires_grad=True)
    network.head.register_forward_hook(lambda *_: own)
    logits = network(torch.rand(6, 3, 32, 32))
    probabilities, of_class = logits.softmax(dim=1), own.sigmoid()
    torch.testing.assert_close(probabilities[:, [2]], of_class)
    torch.testing.assert_close(probabilities[:, [0, 1, 3, 4]], ((1 - of_class) / 4).expand(6, 4))
    one_against_all = torch.nn.functional.binary_cross_entropy_with_logits(own[:, 0], (labels == 2).float())
    losses = (one_against_all, torch.nn.functional.cross_entropy(logits, labels))
    torch.testing.assert_close(*(torch.autograd.grad(loss, own, retain_graph=True)[0] for loss in losses))


def test_a_specialist_of_a_class_that_is_not_there() -> None:
    line = r"models.specialist.target: there is no class 5; the data has 5 classes, and their numbers are 0 to 4"
    with pytest.raises(InputError, match=line):
        built("specialist", 32, target=5)
