"""TraceNet: what its high-pass filters give, and its options."""

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


def test_high_pass_is_truncated_and_sees_one_grey_level_in_bfloat16() -> None:
    images = torch.rand(2, 3, 8, 8)
    assert HighPass()(images).abs().max() == 1
    step = torch.full((1, 3, 4, 4), 200 / 255)
    step[..., 2:] += 1 / 255
    with torch.autocast("cpu", dtype=torch.bfloat16):
        right = HighPass()(step)[0, 0]
    torch.testing.assert_close(right[:, 1], torch.full((4,), 1 / 8), atol=1e-4, rtol=0)


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
    with pytest.raises(InputError, match="trace_net needs images of 32 pixels a side or more, not 24"):
        networks.build("trace_net", networks.Design(5, 24), {})
