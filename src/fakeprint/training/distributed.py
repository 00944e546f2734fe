"""Several processes, one a device, that train one network: each takes its share of every batch, the first one writes.

PyTorch's elastic launcher starts them: the stage starts it where `train.devices` is above 1, `torchrun` on several
machines. Gradients are averaged by DistributedDataParallel (Li et al. 2020), over NCCL on GPUs and Gloo on CPUs.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TypeVar

import torch
from torch import distributed as processes
from torch import nn

from fakeprint.errors import InputError
from fakeprint.params import Train

Value = TypeVar("Value")


def rank() -> int:
    """This process's number, 0 for the first one and where there is no other."""
    return processes.get_rank() if processes.is_initialized() else 0


def world() -> int:
    """How many processes there are."""
    return processes.get_world_size() if processes.is_initialized() else 1


def launched() -> bool:
    """Whether this process is one of those that the launcher has started."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def launch(module: str, argument: str, devices: int) -> int:
    """Run `python -m module argument` in so many processes of this machine. Returns 0, or 1 where one has failed.

    What they have to say they have said then.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import get_args_parser, run

    words = ["--standalone", f"--nproc-per-node={devices}", "-m", module, argument]
    try:
        run(get_args_parser().parse_args(words))
    except ChildFailedError:
        return 1
    return 0


def check(train: Train, device: str) -> None:
    """Raises InputError where `train.devices` are not there, or can not share its batches evenly."""
    devices = train.devices
    if device == "mps":
        raise InputError("train.devices: torch computes on one mps device; set it to 1, or train.device to cpu")
    if device == "cuda" and devices > torch.cuda.device_count():
        raise InputError(f"train.devices: {devices} are asked for, torch finds {torch.cuda.device_count()}; lower it")
    for phase in train.in_phases():
        if phase.batch_size % devices:
            raise InputError(f"train.batch_size: {phase.batch_size} can not be shared by {devices} devices evenly")


@contextlib.contextmanager
def joined(device: str) -> Iterator[None]:
    """While it lasts, this process is one of those that the launcher has started; nothing where it has not."""
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


def parallel(network: nn.Module, device: str) -> nn.Module:
    """The network as it is called in training: itself, or with gradients averaged over all processes."""
    if world() == 1:
        return network
    return nn.parallel.DistributedDataParallel(
        network, device_ids=[torch.cuda.current_device()] if device == "cuda" else None
    )


def without_sharing(network: nn.Module) -> AbstractContextManager[None]:
    """While it lasts, gradients of the network, as `parallel` gives it, stay each process's own and add up there.

    For all but the last of the batches whose gradients make one step: they are averaged over the processes once.
    """
    unshared: Callable[[], AbstractContextManager[None]] = getattr(network, "no_sync", contextlib.nullcontext)
    return unshared()


def share_buffers(network: nn.Module) -> None:
    """Give all processes the first one's buffers: without synchronised batch norm each has its own batches' there."""
    if world() > 1:
        for buffer in network.buffers():
            processes.broadcast(buffer, 0)


def summed(*values: float, device: str) -> list[float]:
    """Each value's sum over all processes."""
    if world() == 1:
        return list(values)
    together = torch.tensor(values, dtype=torch.float64, device=device)
    processes.all_reduce(together)
    return [float(value) for value in together]


def from_first(read: Callable[[], Value]) -> Value:
    """What `read` returns in the first process."""
    if world() == 1:
        return read()
    box = [read() if rank() == 0 else None]
    processes.broadcast_object_list(box, 0)
    return box[0]  # type: ignore[return-value]
