"""TraceNet: the output of its high-pass filters, and its options."""

import pytest
import torch

from fakeprint.errors import InputError
from fakeprint.models import networks
from fakeprint.models.networks.trace_net import HighPass


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


def test_images_too_small() -> None:
    with pytest.raises(InputError, match="trace_net needs images of at least 32 pixels per side, not 24"):
        networks.build("trace_net", networks.Design(5, 24), {})
