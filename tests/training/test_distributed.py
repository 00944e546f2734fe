"""Two processes that train one network: what they share, and how often."""

import multiprocessing
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed as processes
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.distributed.elastic.multiprocessing import SignalException

from fakeprint.training import distributed
from fakeprint.training.steps import train_epoch
from tests.training.test_loop import coloured, new, settings

pytestmark = pytest.mark.slow


def train_one_epoch(rank: int, folder: str) -> None:
    """One of two processes: 64 images in batches of 8, four of which make a step."""
    torch.set_num_threads(1)
    processes.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    run = new(settings(batch_size=8, accumulate=4, ema=0.5))
    shared = 0

    def counted(state: Any, bucket: processes.GradBucket) -> torch.futures.Future[torch.Tensor]:
        nonlocal shared
        shared += 1
        return allreduce_hook(state, bucket)

    run.ready().register_comm_hook(None, counted)  # type: ignore[operator]
    with ThreadPoolExecutor(1) as pool:
        train_epoch(run, coloured(64, 0), 1, pool, lambda count: None)
    assert run.average
    states = {"network": run.network.state_dict(), "average": run.average.network.state_dict()}
    torch.save({"shared": shared, **states}, Path(folder) / f"{rank}.pt")
    processes.destroy_process_group()


def test_gradients_are_shared_once_a_step_and_all_processes_validate_the_same(tmp_path: Path) -> None:
    multiprocessing.set_forkserver_preload(["pytest", "fakeprint.training.loop", "fakeprint.training.recipe"])
    torch.multiprocessing.start_processes(train_one_epoch, (str(tmp_path),), nprocs=2, start_method="forkserver")
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert first["shared"] == second["shared"] == 2
    for name in ("network", "average"):
        assert any("running_var" in key for key in first[name])
        for key, tensor in first[name].items():
            assert torch.equal(tensor, second[name][key]), (name, key)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_all_processes_with_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    def ended(_: object) -> None:
        raise SignalException("passed on", sigval=number)

    monkeypatch.setattr("torch.distributed.run.run", ended)
    assert distributed.launch("stages.train", "hist_cnn", 2) == code


def test_processes_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr("torch.distributed.run.run", lambda _: seen.append(os.environ["OMP_NUM_THREADS"]))
    monkeypatch.setattr("joblib.cpu_count", lambda: 16)
    for set_by_the_user, devices in ((None, 2), (None, 3), (None, 32), ("3", 2)):
        if set_by_the_user:
            monkeypatch.setenv("OMP_NUM_THREADS", set_by_the_user)
        else:
            monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        assert distributed.launch("stages.train", "hist_cnn", devices) == 0
    assert seen == ["8", "5", "1", "3"]
