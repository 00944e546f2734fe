"""Several processes, one per device, that train one network: each takes its share of every batch, the first one writes.

PyTorch's elastic launcher starts them: the stage runs it if `train.devices` is above 1, `torchrun` on several machines.
Gradients are averaged by DistributedDataParallel (Li et al. 2020), over NCCL on GPUs and Gloo on CPUs.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TypeVar

import joblib
import torch
from torch import distributed as processes
from torch import nn

from fakeprint.errors import InputError

Value = TypeVar("Value")
# The launcher's, which warn of each signal and each process that it is passed on to.
SIGNAL_LOGGERS = tuple(f"torch.distributed.elastic.{name}.api" for name in ("agent.server", "multiprocessing"))


def rank() -> int:
    """The number of this process, 0 for the first one and if there is no other."""
    return processes.get_rank() if processes.is_initialized() else 0


def world() -> int:
    """The number of processes."""
    return processes.get_world_size() if processes.is_initialized() else 1


def launched() -> bool:
    """Whether the launcher has started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def launch(module: str, argument: str, devices: int) -> int:
    """Run `python -m module argument` in so many processes of this machine. Returns the exit code of all together.

    0, 1 if one has failed, or 128 + the number of the signal that ended them: 130 after Ctrl-C. They share the cores,
    unless OMP_NUM_THREADS says otherwise. A process that fails or is interrupted prints its line itself.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import get_args_parser, run

    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, joblib.cpu_count() // devices)))  # the launcher's own is 1
    for name in SIGNAL_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    words = ["--standalone", f"--nproc-per-node={devices}", "-m", module, argument]
    try:
        run(get_args_parser().parse_args(words))
    except ChildFailedError:
        return 1
    except SignalException as ended:  # after the launcher has passed it on to the processes and they have ended
        return 128 + ended.sigval
    return 0


def require_devices(devices: int, device: str, batch_sizes: Iterable[int]) -> None:
    """Raise InputError if there are fewer devices than `train.devices`, or batches cannot be shared evenly by them."""
    if device == "mps":
        raise InputError("train.devices: there is only one mps device; set it to 1, or train.device to cpu")
    if ":" in device:
        raise InputError(f"train.devices: {device} is one GPU; set it to 1, or train.device to cuda")
    if device == "cuda" and devices > torch.cuda.device_count():
        raise InputError(
            f"train.devices is {devices}, but torch finds {torch.cuda.device_count()}; set it to that or less"
        )
    for batch_size in batch_sizes:
        require_even_shares(batch_size, devices)


def require_even_shares(batch_size: int, devices: int) -> None:
    """Raise InputError if a batch cannot be shared evenly."""
    if batch_size % devices:
        raise InputError(f"train.batch_size, {batch_size}, should be a multiple of train.devices, {devices}")


@contextlib.contextmanager
def joined(device: str) -> Iterator[None]:
    """Inside, this process is one of those that the launcher has started; without a launcher nothing happens."""
    if not launched():
        yield
        return
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    processes.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield
    finally:
        processes.destroy_process_group()


def say(line: str) -> None:
    """Print a line, in the first process only."""
    if rank() == 0:
        print(line, flush=True)


def parallel(network: nn.Module, device: str) -> nn.Module:
    """The network as training steps call it: unchanged, or with gradients averaged over all processes."""
    if world() == 1:
        return network
    return nn.parallel.DistributedDataParallel(
        network, device_ids=[torch.cuda.current_device()] if device == "cuda" else None
    )


def with_shared_norms(network: nn.Module) -> nn.Module:
    """The network with batch norm over the images of all processes; for GPUs.

    timm's function, since torch's would replace timm's layers that are batch norm and activation by batch norm alone.
    """
    from timm.layers import convert_sync_batchnorm  # here, since it takes seconds

    shared: nn.Module = convert_sync_batchnorm(network)
    return shared


def without_sharing(network: nn.Module) -> AbstractContextManager[None]:
    """Inside, the gradients of a network that `parallel` returned are summed in each process and not yet averaged.

    For all batches of a step but the last, so that gradients are averaged over the processes once per step.
    """
    unshared: Callable[[], AbstractContextManager[None]] = getattr(network, "no_sync", contextlib.nullcontext)
    return unshared()


def share_buffers(network: nn.Module) -> None:
    """Give all processes the buffers of the first: without synchronised batch norm, each has its own statistics."""
    if world() > 1:
        for buffer in network.buffers():
            processes.broadcast(buffer, 0)


def summed(*values: float, device: str) -> list[float]:
    """The sum of each value over all processes."""
    if world() == 1:
        return list(values)
    sums = torch.tensor(values, dtype=torch.float64, device=device)
    processes.all_reduce(sums)
    return [float(value) for value in sums]


def from_first(read: Callable[[], Value]) -> Value:
    """What `read` returns in the first process."""
    if world() == 1:
        return read()
    box = [read() if rank() == 0 else None]
    processes.broadcast_object_list(box, 0)
    return box[0]  # type: ignore[return-value]
