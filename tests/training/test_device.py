"""Devices: what auto chooses and what is said where one is missing."""

import pytest
import torch

from fakeprint.errors import InputError
from fakeprint.training import device


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_there(name: str) -> None:
    if {"cuda": torch.cuda, "mps": torch.backends.mps}[name].is_available():
        pytest.skip(f"{name} is there")
    with pytest.raises(InputError, match=f"train.device: torch finds no {name} device .* auto or cpu"):
        device.choose(name, "auto")


def test_precision_decides_what_the_forward_pass_computes_in() -> None:
    layer, images = torch.nn.Linear(4, 4), torch.rand(2, 4)
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with device.choose("cpu", precision).autocast():
            assert layer(images).dtype == dtype


def test_auto_is_a_device_that_is_there() -> None:
    chosen = device.choose("auto", "fp32")
    assert torch.zeros(1, device=chosen.device).device.type == chosen.device
    assert str(device.Execution("cpu", True)) == "cpu, bf16"


def test_keeping_freed_memory_changes_no_result() -> None:
    before = torch.arange(1000.0).sum()
    device.keep_freed_memory()
    assert torch.equal(torch.arange(1000.0).sum(), before)
