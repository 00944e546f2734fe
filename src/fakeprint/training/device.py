"""Where and how a network computes: device, precision, memory layout, allocator.

What `auto` means was measured, in images/s of training steps on batches of 32 (two cores of a CPU with AVX512-BF16):
see docs/models.md. Channels-last was the faster layout in every case, so there is no setting for it.
"""

import contextlib
import ctypes
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch.utils._triton import has_triton

from fakeprint.errors import InputError

DEVICE = re.compile(r"cpu|mps|cuda(:\d+)?")
# Messages of the allocators of CUDA, MPS and CPU
_LACKS_MEMORY = re.compile("out of memory|can't allocate memory")
# glibc's mallopt parameters (malloc.h)
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


@dataclass(frozen=True)
class Execution:
    """A device ("cpu", "cuda", "cuda:1", "mps") and whether convolutions and products run in bfloat16 there."""

    device: str
    bf16: bool

    @property
    def kind(self) -> str:
        """The kind of device: "cpu", "cuda" or "mps"."""
        return self.device.partition(":")[0]

    def autocast(self) -> AbstractContextManager[None]:
        """A context in which the forward pass computes in this precision, the layer that sees the image in float32.

        Weights stay float32.
        """
        return torch.autocast(self.kind, dtype=torch.bfloat16, enabled=self.bf16)

    def place(self, network: torch.nn.Module) -> torch.nn.Module:
        """The network on the device, channels last."""
        return network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __str__(self) -> str:
        """`cuda (NVIDIA …), bf16`."""
        name = f" ({torch.cuda.get_device_name(self.device)})" if self.kind == "cuda" else ""
        return f"{self.device}{name}, {'bf16' if self.bf16 else 'fp32'}"


def choose(device: str, precision: str, key: str = "train.device") -> Execution:
    """Resolve a device and a precision.

    Args:
        device: auto, cpu, cuda, cuda:N (the GPU with number N) or mps. auto is the first of cuda, mps, cpu that exists.
        precision: auto, bf16 or fp32.
        key: parameter or option that named the device; messages name it.

    Raises:
        InputError: the device is unknown, or torch does not find it.
    """
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        device = next(name for name in ("cuda", "mps", "cpu") if present[name])
    if not DEVICE.fullmatch(device):
        raise InputError(f"{key}: '{device}' is unknown; known: auto, cpu, cuda, cuda:N, mps")
    kind, _, number = device.partition(":")
    if not present[kind]:
        raise InputError(f"{key}: torch finds no {kind} device on this machine; set it to auto or cpu")
    if number and int(number) >= torch.cuda.device_count():
        raise InputError(
            f"{key}: there is no {device}; torch finds {torch.cuda.device_count()} GPU(s), numbered from 0"
        )
    return Execution(device, _fast_at_bf16(device) if precision == "auto" else precision == "bf16")


def _fast_at_bf16(device: str) -> bool:
    if device.startswith("cuda"):
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device == "cpu":
        probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(getattr(torch.cpu, probe, bool)() for probe in probes)
    return False


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next step instead of returning big tensors to the system after each.

    The same as starting with MALLOC_MMAP_MAX_=0 and MALLOC_TRIM_THRESHOLD_=-1, without a second process. For networks
    on a CPU, in training and in prediction; without glibc nothing happens.
    """
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, -1)


def reproducible(execution: Execution, deterministic: bool) -> None:
    """Make a GPU compute the same bits in every run, or let it choose the fastest kernels. A CPU always does the first.

    Source: https://docs.pytorch.org/docs/stable/notes/randomness.html
    """
    if execution.kind != "cuda":
        return
    if deterministic:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # read when the first product is computed
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = not deterministic


def full_float32() -> None:
    """Compute in full float32: no TF32 on a GPU, neither in convolutions (torch's default) nor in products of matrices.

    TF32 keeps 11 bits. What may be less exact runs in bfloat16.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")


class RepeatablePool(torch.nn.AdaptiveAvgPool2d):
    """Adaptive average pooling as two products of matrices: maps (N, C, H, W) → (N, C, h, w), of the same dtype.

    The gradient of torch's own pooling adds atomically on a GPU, in another order each time, and torch refuses it in
    deterministic mode. The means are those of torch to within the rounding of float32.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Pool."""
        size = self.output_size
        height, width = size if isinstance(size, tuple) else (size, size)
        # In bfloat16 a mean of three would weigh each 0.334.
        with torch.autocast(input.device.type, enabled=False):
            down, across = _means(input.shape[2], height, input.device), _means(input.shape[3], width, input.device)
            return (down @ input.float() @ across.T).to(input.dtype)


def _means(places: int, parts: int | None, device: torch.device) -> torch.Tensor:
    """float32 (parts, places): row i averages places ⌊i·places/parts⌋ up to, without it, ⌈(i + 1)·places/parts⌉."""
    parts = parts or places
    place, part = torch.arange(places, device=device), torch.arange(parts, device=device)[:, None]
    inside = (place >= part * places // parts) & (place < ((part + 1) * places + parts - 1) // parts)
    return inside / inside.sum(1, keepdim=True)


def with_repeatable_pools(network: torch.nn.Module) -> torch.nn.Module:
    """The network, with each adaptive average pool replaced by one whose gradient is the same in every run.

    A pool to 1 × 1 stays: torch computes it as a mean.
    """
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if type(child) is torch.nn.AdaptiveAvgPool2d and child.output_size not in (1, (1, 1)):
                setattr(parent, name, RepeatablePool(child.output_size))
    return network


def compiled(network: torch.nn.Module, execution: Execution) -> torch.nn.Module:
    """The network compiled by `torch.compile`; unchanged, with a warning, if no compiler for this device is found."""
    if execution.kind == "cuda":
        found, missing = has_triton(), "Triton"
    else:
        compilers = (os.environ.get("CXX", ""), "g++", "clang++")
        found, missing = any(map(shutil.which, compilers)), "a C++ compiler (g++ or clang++)"
    if not found:
        print(
            f"warning: train.compile: {missing} is not installed; training continues without compiling", file=sys.stderr
        )
        return network
    return torch.compile(network)  # type: ignore[return-value]


@contextlib.contextmanager
def refusals_in_one_line(name: str) -> Iterator[None]:
    """Raise InputError if torch, training network `name`, lacks memory or a deterministic form of an operation."""
    try:
        yield
    except RuntimeError as error:
        message = str(error)
        if _LACKS_MEMORY.search(message):
            raise InputError(
                f"train.batch_size: not enough memory for {name}; lower it and raise train.accumulate"
            ) from error
        if " does not have a deterministic implementation" in message:
            operation = message.split()[0]
            raise InputError(
                f"train.deterministic: {name} uses {operation}, which is not deterministic on this device; set it to "
                "false"
            ) from error
        raise


@contextlib.contextmanager
def quick_switches() -> Iterator[None]:
    """Inside, the thread that computes waits at most half a millisecond for a thread that prepares batches.

    The interpreter's default of 5 ms is a third of a small network's step.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
