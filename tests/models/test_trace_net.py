"""TraceNet: the output of its high-pass filters, and its options."""

from collections import Counter

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

from fakeprint import params
from fakeprint.errors import InputError
from fakeprint.models import networks
from fakeprint.models.networks import layers
from fakeprint.models.networks.penultimate import noted_features
from fakeprint.models.networks.trace_net import (
    Cooccurrences,
    HighPass,
    WhitenedPatches,
    covariance,
    in_blocks,
    map_statistics,
    square_root,
)
from tests.samples import DEMO


def test_high_pass_by_hand() -> None:
    images = torch.zeros(1, 3, 5, 5)
    images[0, 1, 2, 2] = 4 / 255  # four grey levels of green
    out = HighPass()(images)
    assert out.shape == (1, 9, 5, 5)
    assert out[0, :3].abs().max() == out[0, 6:].abs().max() == 0
    right, down, second = out[0, 3], out[0, 4], out[0, 5]
    torch.testing.assert_close(right[2, 1:4], torch.tensor([0.5, -0.5, 0.0]))
    torch.testing.assert_close(down[1:4, 2], torch.tensor([0.5, -0.5, 0.0]))
    torch.testing.assert_close(second[1:4, 2], torch.tensor([0.25, -0.5, 0.25]))


def by_convolution(levels: torch.Tensor) -> torch.Tensor:
    """The residuals of grey levels, float64 (N, 3, H, W), as a convolution with the published kernels."""
    right = [[0, 0, 0], [0, -1, 1], [0, 0, 0]]
    down = [[0, 0, 0], [0, -1, 0], [0, 1, 0]]
    second = [[-0.25, 0.5, -0.25], [0.5, -1, 0.5], [-0.25, 0.5, -0.25]]
    kernels = torch.tensor([right, down, second], dtype=torch.float64).unsqueeze(1).repeat(3, 1, 1, 1)
    padded = torch.nn.functional.pad(levels, (1, 1, 1, 1), mode="reflect")
    return (torch.nn.functional.conv2d(padded, kernels, groups=3) / HighPass.LIMIT).clamp(-1, 1)


def grey_levels(count: int = 3, height: int = 17, width: int = 20) -> torch.Tensor:
    """uint8 (N, H, W, 3), as arrays hold them: one rough, the others soft enough not to be truncated."""
    levels = torch.randint(0, 256, (count, height, width, 3), generator=torch.Generator().manual_seed(0))
    levels[1:] = 120 + levels[1:] // 40
    return levels.to(torch.uint8)


def test_residuals_of_whole_grey_levels_are_exact_even_in_bfloat16() -> None:
    levels = grey_levels()
    images = levels.permute(0, 3, 1, 2).float().div_(255)  # as in training and prediction
    expected = by_convolution(levels.permute(0, 3, 1, 2).double())
    assert 0 < (expected.abs() == 1).double().mean() < 0.5, "some are truncated"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        residuals = HighPass()(images)
    assert residuals.dtype == torch.float32
    assert torch.equal(residuals.double(), expected)
    assert torch.equal(residuals.bfloat16().double(), expected)


def test_residuals_of_any_image_are_those_of_a_convolution() -> None:
    images = torch.rand(2, 3, 9, 8, requires_grad=True)  # channels first, and no whole grey levels
    residuals = HighPass()(images)
    torch.testing.assert_close(residuals, by_convolution(255 * images.double()).float(), rtol=0, atol=1e-5)
    assert residuals.is_contiguous(memory_format=torch.channels_last)
    residuals.sum().backward()
    assert images.grad is not None and images.grad.any()


def test_options() -> None:
    design = networks.Design(5, 32, width=0.25)
    images = torch.rand(2, 3, 32, 32)
    inputs = {
        option: networks.build("trace_net", design, {"high_pass": option}).stem[0].in_channels for option in (0, 1)
    }
    assert inputs == {0: 3, 1: 12}
    plain = networks.build("trace_net", design, {})
    assert len(plain.stages) == 5
    deep = networks.build("trace_net", design, {"blocks": 2, "histogram_bins": 8})
    assert [len(stage) for stage in deep.stages] == [3] * 5
    assert deep.head[-1].in_features == plain.head[-1].in_features + 16
    assert deep(images).shape == (2, 5)


def test_residuals_of_colour_differences_are_truncated_after_the_subtraction() -> None:
    levels = grey_levels()
    images = levels.permute(0, 3, 1, 2).float().div_(255)
    red, green, blue = levels.permute(0, 3, 1, 2).double().unbind(1)
    # The filters of a channel that holds the difference; the other two give what is not compared.
    of_red, of_blue = (by_convolution((colour - green)[:, None].expand(-1, 3, -1, -1))[:, :3] for colour in (red, blue))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        residuals = HighPass(colours=True)(images)
    assert residuals.shape == (3, 15, 17, 20) and residuals.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(residuals[:, :9], HighPass()(images))
    assert torch.equal(residuals[:, 9:].double(), torch.cat([of_red, of_blue], dim=1))
    late = residuals[:, 9:12] != residuals[:, :3] - residuals[:, 3:6]
    assert late.any(), "some are truncated differently before the subtraction"


def test_statistics_of_maps_by_hand() -> None:
    maps = torch.zeros(1, 2, 2, 2)
    maps[0, 0] = torch.tensor([[1.0, 3.0], [1.0, 3.0]])
    maps[0, 1] = 5.0
    statistics = map_statistics(maps.bfloat16().requires_grad_())
    assert statistics.dtype == torch.float32
    torch.testing.assert_close(statistics, torch.tensor([[2.0, 5.0, 1.0, 0.0]]), rtol=0, atol=4e-3)
    (gradient,) = torch.autograd.grad(map_statistics(maps.requires_grad_()).sum(), maps)
    assert gradient.isfinite().all()  # of the constant map too


def test_statistics_pooling_reads_every_stage() -> None:
    design = networks.Design(5, 32, width=0.25)
    network = networks.build("trace_net", design, {"pooling": "statistics"}).eval()
    assert network.head[-1].in_features == 2 * (8 + 16 + 32 + 64 + 96)
    with noted_features(network) as noted:
        network(torch.rand(2, 3, 32, 32))
    # On 32 pixels the last stage's maps are 1 × 1: their deviation is that of a constant, √1e-5.
    torch.testing.assert_close(noted[0][:, -96:], torch.full((2, 96), 1e-5**0.5))
    assert (noted[0][:, 8:16] > 0.01).any()
    with pytest.raises(InputError, match=r"^models\.trace_net\.pooling: statistics pools .*; remove one of the two$"):
        networks.build("trace_net", networks.Design(5, 32, head="flatten"), {"pooling": "statistics"})


def test_covariance_of_maps_is_that_of_numpy() -> None:
    maps = torch.randn(3, 4, 6, 5, generator=torch.Generator().manual_seed(0))
    expected = [np.cov(each.flatten(1).numpy(), bias=True) for each in maps]
    np.testing.assert_allclose(covariance(maps).numpy(), expected, atol=1e-6)


def test_square_roots_of_covariances() -> None:
    generator = torch.Generator().manual_seed(0)
    axes, _ = torch.linalg.qr(torch.randn(2, 8, 8, generator=generator))
    eigenvalues = torch.tensor([[4.0, 2.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.25], [9.0, 0, 0, 0, 0, 0, 0, 0]])
    roots = square_root(axes * eigenvalues[:, None] @ axes.mT, iterations=12)
    torch.testing.assert_close(roots, axes * eigenvalues.sqrt()[:, None] @ axes.mT, rtol=0, atol=1e-3)
    flat = torch.zeros(1, 8, 8, requires_grad=True)  # of constant maps
    square_root(flat).sum().backward()
    assert flat.grad is not None and flat.grad.isfinite().all()


def test_covariance_pooling_adds_features_to_the_average() -> None:
    design = networks.Design(5, 64, dropout=0.0, width=0.25)
    torch.manual_seed(0)
    network = networks.build("trace_net", design, {"pooling": "covariance"})  # batch norm: maps of variance 1
    assert network.head[-1].in_features == 96 + 16 * 17 // 2
    with noted_features(network) as noted, torch.autocast("cpu", dtype=torch.bfloat16):
        network(torch.rand(2, 3, 64, 64))
    assert noted[0].dtype == torch.float32 and (noted[0][:, :136].abs() > 1e-3).float().mean() > 0.5
    names = networks.build("trace_net", design, {"pooling": "average"}).state_dict().keys()
    assert {key.split(".")[0] for key in network.state_dict().keys() - names} == {"covariance"}


def smooth_images(count: int) -> torch.Tensor:
    """Noise after a blur, uint8 (count, 3, 24, 24), whose colours depend on each other."""
    noise = torch.randn(count, 3, 26, 26, generator=torch.Generator().manual_seed(0))
    noise = torch.nn.functional.avg_pool2d(noise, 3, 1)
    mixed = torch.stack([noise[:, 0], noise[:, 0] + 0.3 * noise[:, 1], noise[:, 0] - 0.3 * noise[:, 2]], dim=1)
    return (128 + 80 * mixed).clamp(0, 255).to(torch.uint8)


def test_whitened_patches_have_unit_covariance() -> None:
    images = smooth_images(60)
    layer = WhitenedPatches()
    layer.fit([images.float()])
    assert torch.equal(layer.filters.flatten(1).abs().amax(1), layer.filters.flatten(1).amax(1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer(images / 255)
    assert out.shape == (60, 27, 24, 24) and out.dtype == torch.float32 and out.abs().max() == 1
    inner = (out[:, :, 1:-1, 1:-1] * layer.LIMIT).transpose(0, 1).flatten(1)  # few are truncated at 3 deviations
    np.testing.assert_allclose(np.cov(inner.numpy()), np.eye(27), atol=0.12)  # `LEAST` makes the weakest smaller
    # By hand: the patch around (row 5, column 7), channel by channel.
    patch = images[3, :, 4:7, 6:9].double()
    expected = (layer.filters.double() * patch).sum((1, 2, 3)) + layer.offsets.double()
    torch.testing.assert_close(out[3, :, 5, 7].double(), (expected / 3).clamp(-1, 1), rtol=0, atol=2e-4)


def test_patches_are_fitted_once_before_training_and_kept_with_the_weights() -> None:
    design = networks.Design(5, 32, width=0.25)
    network = networks.build("trace_net", design, {"whitened_patches": True})
    assert network.stem[0].in_channels == 3 + 9 + 27
    network.fit_input(smooth_images(8))
    again = networks.build("trace_net", design, {"whitened_patches": True})
    again.load_state_dict(network.state_dict())
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(again.eval()(images), network.eval()(images))
    assert not any(parameter is network.patches.filters for parameter in network.parameters())


@pytest.mark.slow
def test_patches_are_white_at_the_size_that_the_layer_sees() -> None:
    network = networks.build("trace_net", networks.Design(5, 24, 0.25, input_size=40), {"whitened_patches": True})
    images = smooth_images(30)
    network.fit_input(images)
    seen: list[torch.Tensor] = []
    network.patches.register_forward_hook(lambda layer, _, out: seen.append(out * layer.LIMIT))
    with torch.no_grad():
        network.eval()(images / 255)
    inner = seen[0][:, :, 1:-1, 1:-1].transpose(0, 1).flatten(1)
    # Of the weakest axes `LEAST` is most of the variance.
    variances = 1 / network.patches.filters.square().sum((1, 2, 3))
    strong = variances > 10 * WhitenedPatches.LEAST
    assert strong.sum() >= 5
    torch.testing.assert_close(inner.std(1)[strong], torch.ones(int(strong.sum())), rtol=0, atol=0.1)


def test_new_options_leave_the_names_and_shapes_of_weights() -> None:
    """Weights of a network from before the options were there are loaded as they are."""
    design = networks.Design(5, 32, width=0.25)
    plain = networks.build("trace_net", design, {"high_pass": True, "histogram_bins": 0, "blocks": 1}).state_dict()
    off = {"colour_residuals": False, "pooling": "average", "space_to_depth": False, "stem_channels": 32}
    off |= {"whitened_patches": False, "cooccurrences": False}
    assert networks.build("trace_net", design, off).load_state_dict(plain)
    for changed, key in (("colour_residuals", "stem.0.weight"), ("pooling", "head.1.weight")):
        value = {"colour_residuals": True, "pooling": "statistics"}[changed]
        weights = networks.build("trace_net", design, {changed: value}).state_dict()
        assert {name for name in plain if plain[name].shape != weights[name].shape} == {key}
        assert weights.keys() == plain.keys()


def test_blocks_of_pixels_become_channels() -> None:
    image = torch.arange(2 * 5 * 4.0).view(1, 2, 5, 4)
    blocks = in_blocks(image, 2)
    assert blocks.shape == (1, 8, 2, 2)
    assert blocks[0, :, 1, 0].tolist() == [8, 9, 12, 13, 28, 29, 32, 33]
    assert blocks.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("side", "head"), [(32, "pool"), (101, "flatten")])
def test_the_first_stage_works_on_blocks_at_half_the_resolution(side: int, head: str) -> None:
    design = networks.Design(5, side, width=0.25, head=head)
    network = networks.build("trace_net", design, {"space_to_depth": True, "stem_channels": 64}).eval()
    assert network.stem[0].weight.shape == (16, 4 * 12, 3, 3)
    sides = []
    for stage in network.stages:
        stage.register_forward_hook(lambda _module, inputs, _output: sides.append(inputs[0].shape[-1]))
    assert network(torch.rand(2, 3, side, side)).shape == (2, 5)
    half = side // 2
    assert sides == [half, half, half // 2, half // 4, half // 8]


@pytest.mark.parametrize(("option", "what"), [("colour_residuals", "subtracts"), ("cooccurrences", "counts")])
def test_what_is_made_of_residuals_needs_them(option: str, what: str) -> None:
    content = YAML(typ="safe").load(DEMO)
    content["models"]["trace_net"] |= {"high_pass": False, option: True}
    with pytest.raises(
        InputError, match=rf"models\.trace_net: {option} needs high_pass: true, whose residuals it {what}$"
    ):
        params.parse(content)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_patterns_of_residuals_are_counted_as_by_hand(layout: torch.memory_format) -> None:
    levels = np.random.default_rng(3).integers(-4, 5, (2, 9, 5, 6))
    residuals = torch.from_numpy(levels / HighPass.LIMIT).float().contiguous(memory_format=layout)
    found = Cooccurrences()(residuals).view(2, 21, 125)
    cut = levels.clip(-2, 2) + 2
    for image in range(2):
        for channel in range(9):
            for turned, place in ((cut[image, channel], channel), (cut[image, channel].T, 9 + channel)):
                counts = Counter(tuple(row[at : at + 3]) for row in turned for at in range(len(row) - 2))
                assert_patterns(found[image, place], counts)
        for kernel in range(3):
            red, green, blue = cut[image, kernel], cut[image, 3 + kernel], cut[image, 6 + kernel]
            assert_patterns(found[image, 18 + kernel], Counter(zip(red.flat, green.flat, blue.flat, strict=True)))


def assert_patterns(roots: torch.Tensor, counts: Counter[tuple[int, ...]]) -> None:
    expected = torch.zeros(5, 5, 5)
    for pattern, count in counts.items():
        expected[pattern] = count / counts.total()
    assert torch.allclose(roots.square(), expected.flatten(), atol=1e-6)


@pytest.mark.parametrize("colours", [False, True])
def test_cooccurrences_reach_the_head_in_bfloat16_too(colours: bool) -> None:
    design = networks.Design(5, 32, width=0.25)
    options = {"cooccurrences": True, "colour_residuals": colours, "histogram_bins": 8}
    network = layers.image_layer_in_float32(networks.build("trace_net", design, options), 32)
    assert type(network.stem[0]).__mro__[1] is layers.InFloat32
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(torch.rand(4, 3, 32, 32))
    logits.sum().backward()
    assert logits.shape == (4, 5)
    dense = network.cooccurrences[2]
    assert dense.in_features == 125 * (2 * (15 if colours else 9) + 3)
    assert dense.weight.grad.abs().sum() > 0


def test_parameters_of_cooccurrences_as_documented() -> None:
    design = networks.Design(5, 100)
    network = networks.build("trace_net", design, {"cooccurrences": True})
    assert sum(each.numel() for each in network.parameters()) - 3_543_365 == 173_634


def test_images_too_small() -> None:
    with pytest.raises(InputError, match="trace_net needs images of at least 32 pixels per side, not 24"):
        networks.build("trace_net", networks.Design(5, 24), {})
