"""Devices: what `auto` chooses, and the message if a device is missing."""

import os
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fakeprint.errors import InputError
from fakeprint.models import networks
from fakeprint.training import device, distributed

# Operations of aten that torch refuses on a GPU in deterministic mode, or that are not the same there in every run
# (https://docs.pytorch.org/docs/stable/generated/torch.use_deterministic_algorithms.html).
REFUSED = """
adaptive_avg_pool2d_backward adaptive_max_pool2d_backward avg_pool3d_backward fractional_max_pool2d_backward
max_pool3d_with_indices_backward max_unpool2d grid_sampler_2d_backward reflection_pad1d_backward
reflection_pad2d_backward replication_pad1d_backward replication_pad2d_backward upsample_linear1d_backward
upsample_bilinear2d_backward upsample_bicubic2d_backward upsample_bilinear2d_aa_backward
upsample_bicubic2d_aa_backward nll_loss2d_forward ctc_loss embedding_bag put histc bincount kthvalue median
"""
LARGER = {"four_cnn": 64, "alexnet": 128, "alexnet_rnn": 128, "xception": 128, "vit": 224, "vit_pretrained": 224}


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_missing(name: str) -> None:
    if {"cuda": torch.cuda, "mps": torch.backends.mps}[name].is_available():
        pytest.skip(f"{name} is available")
    with pytest.raises(InputError, match=f"train.device: torch finds no {name} device .* auto or cpu"):
        device.choose(name, "auto")


def test_one_of_several_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU: what torch says of two is replaced."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda name: {"cuda:0": (7, 5), "cuda:1": (8, 0)}[name])
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda name: f"GPU of {name}")
    assert not device.choose("cuda:0", "auto").bf16
    chosen = device.choose("cuda:1", "auto")
    assert (chosen.device, chosen.kind, chosen.bf16) == ("cuda:1", "cuda", True)
    assert str(chosen) == "cuda:1 (GPU of cuda:1), bf16"
    with pytest.raises(
        InputError, match=r"^train\.device: there is no cuda:2; torch finds 2 GPU\(s\), numbered from 0$"
    ):
        device.choose("cuda:2", "auto")
    with pytest.raises(InputError, match=r"^train\.devices: cuda:1 is one GPU; set it to 1, or train\.device to cuda$"):
        distributed.require_devices(2, "cuda:1", [32])


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cpu:0", ""])
def test_an_unknown_device(name: str) -> None:
    with pytest.raises(InputError, match=f"^--device: '{name}' is unknown; known: auto, cpu, cuda, cuda:N, mps$"):
        device.choose(name, "fp32", "--device")


def test_precision_decides_what_the_forward_pass_computes_in() -> None:
    layer, images = torch.nn.Linear(4, 4), torch.rand(2, 4)
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with device.choose("cpu", precision).autocast():
            assert layer(images).dtype == dtype


def test_auto_is_an_available_device() -> None:
    chosen = device.choose("auto", "fp32")
    assert torch.zeros(1, device=chosen.device).device.type == chosen.device
    assert str(device.Execution("cpu", True)) == "cpu, bf16"


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


class Called(TorchDispatchMode):
    """Which operations of aten are called while it lasts."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.names.add(operation._schema.name.removeprefix("aten::").strip("_"))
        return operation(*args, **kwargs or {})


def refused_in_a_step(name: str, change: Callable[[torch.nn.Module], torch.nn.Module]) -> set[str]:
    """What a training step of a network, changed so, calls of the operations that a GPU refuses."""
    size = LARGER.get(name, 32)
    options = {"size": "tiny"} if name == "vit_pretrained" else {}
    network = change(networks.build(name, networks.Design(5, size, normalisation="imagenet"), options)).train()
    images, labels = torch.rand(2, 3, size, size), torch.zeros(2, dtype=torch.int64)
    with Called() as called:
        torch.nn.functional.cross_entropy(network(images), labels).backward()
    assert "convolution_backward" in called.names
    return called.names & set(REFUSED.split())


@pytest.mark.slow
@pytest.mark.parametrize("name", networks.NETWORKS)
def test_no_network_is_refused_in_deterministic_mode(name: str) -> None:
    assert refused_in_a_step(name, device.with_repeatable_pools) == set()


def test_a_pool_to_several_places_is_refused_as_torch_has_it() -> None:
    assert refused_in_a_step("three_cnn", lambda network: network) == {"adaptive_avg_pool2d_backward"}


@pytest.mark.parametrize("side", [4, (2, 7), (None, 3), 1])
@pytest.mark.parametrize("height, width", [(11, 11), (25, 6), (3, 4)])
def test_repeatable_pools_are_the_same_pools(side: Any, height: int, width: int) -> None:
    maps = torch.randn(2, 5, height, width, requires_grad=True)
    pools = torch.nn.AdaptiveAvgPool2d(side), device.RepeatablePool(side)
    expected, got = (pool(maps) for pool in pools)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)
    downstream = torch.randn_like(expected)
    gradients = [torch.autograd.grad(out, maps, downstream)[0] for out in (expected, got)]
    torch.testing.assert_close(*gradients, rtol=0, atol=2e-6)
    with device.Execution("cpu", True).autocast():
        half = device.RepeatablePool(side)(maps.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half, pools[0](maps.bfloat16().float()).bfloat16(), rtol=2**-7, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name, size", [("three_cnn", 50), ("alexnet_rnn", 128), ("vgg16", 64)])
def test_a_network_with_repeatable_pools_has_the_same_weights_and_answers(name: str, size: int) -> None:
    torch.manual_seed(0)
    network = networks.build(name, networks.Design(5, size), {}).eval()
    images, before = torch.rand(2, 3, size, size), network.state_dict()
    with torch.no_grad():
        expected = network(images)
        changed = device.with_repeatable_pools(network)
        assert any(isinstance(layer, device.RepeatablePool) for layer in changed.modules())
        torch.testing.assert_close(changed(images), expected, rtol=1e-4, atol=1e-5)
    assert list(changed.state_dict()) == list(before)


@pytest.mark.slow
def test_compiles_if_there_is_a_compiler(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    network = torch.nn.Linear(2, 2)
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(device.shutil, "which", lambda name: "/usr/bin/g++" if name == "g++" else None)
    assert device.compiled(network, device.Execution("cpu", False)) is not network
    monkeypatch.setattr(device.shutil, "which", lambda name: None)
    assert device.compiled(network, device.Execution("cpu", False)) is network
    monkeypatch.setattr(device, "has_triton", lambda: False)
    assert device.compiled(network, device.Execution("cuda", False)) is network
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(
        "warning: train.compile: a C++ compiler (g++ or clang++) is not installed; training continues"
    )
    assert "Triton is not installed" in second


def test_threads_switch_quickly_while_it_trains() -> None:
    before = sys.getswitchinterval()
    with pytest.raises(OSError), device.quick_switches():
        assert sys.getswitchinterval() == pytest.approx(0.0005)
        raise OSError
    assert sys.getswitchinterval() == before
