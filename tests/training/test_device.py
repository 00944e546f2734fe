"""Devices: what auto chooses and what is said where one is missing."""

import os
import sys

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


def test_deterministic_is_for_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    benchmark = torch.backends.cudnn.benchmark
    try:
        device.reproducible(device.Execution("cpu", False), True)
        assert not torch.are_deterministic_algorithms_enabled()
        device.reproducible(device.Execution("cuda", False), True)
        assert torch.are_deterministic_algorithms_enabled() and not torch.backends.cudnn.benchmark
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        device.reproducible(device.Execution("cuda", False), False)
        assert not torch.are_deterministic_algorithms_enabled() and torch.backends.cudnn.benchmark
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.benchmark = benchmark


def test_compiles_where_it_can(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    network = torch.nn.Linear(2, 2)
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(device.shutil, "which", lambda name: "/usr/bin/g++" if name == "g++" else None)
    assert device.compiled(network, device.Execution("cpu", False)) is not network
    monkeypatch.setattr(device.shutil, "which", lambda name: None)
    assert device.compiled(network, device.Execution("cpu", False)) is network
    monkeypatch.setattr(device, "has_triton", lambda: False)
    assert device.compiled(network, device.Execution("cuda", False)) is network
    first, second = capsys.readouterr().err.splitlines()
    assert (
        first == "warning: train.compile: there is no C++ compiler (g++ or clang++) here; training goes on uncompiled"
    )
    assert "there is no Triton here" in second


def test_threads_switch_quickly_while_it_trains() -> None:
    before = sys.getswitchinterval()
    with pytest.raises(OSError), device.quick_switches():
        assert sys.getswitchinterval() == pytest.approx(0.0005)
        raise OSError
    assert sys.getswitchinterval() == before
