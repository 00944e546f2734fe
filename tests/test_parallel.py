"""`run.backend`: a real dask cluster gives the bytes that one process gives; a missing package is one line."""

import os
import sys
import time
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fakeprint import features, parallel, params
from fakeprint.augment import offline
from fakeprint.data import preparation, scan
from fakeprint.data.arrays import Dataset, load_split
from fakeprint.data.containers import open_container
from fakeprint.data.crops import even_crops
from fakeprint.errors import InputError
from fakeprint.params import Run

SETTINGS = params.load(Path(__file__).parents[1] / "presets/demo.yaml")


def run(**changes: Any) -> Run:
    return Run.model_validate({**SETTINGS.run.model_dump(), "workers": 1, **changes})


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """The address of a cluster of one worker, in a process of its own as it would be on another machine."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


def everything(folder: Path, source: Path, settings: Run, resize: str = "squash") -> tuple[dict[str, bytes], int]:
    """Arrays, copies and features of the images in `source`, made on this backend; and who made them."""
    container = open_container(source)
    labels = ["ab"[row % 2] for row in range(len(container.names))]
    rows = pd.DataFrame({"image_id": container.names, "label": labels, "path": container.names, "split": "train"})
    rows = rows.assign(group=range(len(rows)), generator=None, height=20, width=20)
    with parallel.backend(settings):
        dataset = Dataset(["a", "b"], ["a", "b"], 16, resize, 10**6)
        preparation.write_splits(rows, container, dataset, 1, folder / "arrays")
        train = load_split("train", folder / "arrays")
        offline.make_copies(train, SETTINGS.augment, 5, 1, 16, folder / "augmented")
        images = even_crops(train.images, 16, 4)
        described = features.extract_parallel("hsv_hist", {"bins": 8}, images, 1, "features")
        (worker,) = joblib.Parallel(n_jobs=1)([joblib.delayed(os.getpid)()])
    np.save(folder / "features.npy", described)
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return files, worker


@pytest.mark.slow
@pytest.mark.parametrize("resize", ["squash", "native"])
def test_a_dask_cluster_gives_the_same_bytes(
    tmp_path: Path, scheduler: str, monkeypatch: pytest.MonkeyPatch, resize: str
) -> None:
    (tmp_path / "source").mkdir()
    rng = np.random.default_rng(0)
    for number in range(20):
        picture = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / "source" / f"{number:02}.png")
    for module, size in ((scan, "BATCH"), (offline, "CHUNK"), (features, "BATCH")):
        monkeypatch.setattr(module, size, 8)
    here, this_process = everything(tmp_path / "here", tmp_path / "source", run(), resize)
    dask = run(backend="dask", scheduler=scheduler)
    there, worker = everything(tmp_path / "there", tmp_path / "source", dask, resize)
    assert this_process == os.getpid() != worker
    assert len(here) == 11
    assert here == there
    (after,) = joblib.Parallel(n_jobs=1)([joblib.delayed(os.getpid)()])
    assert after == os.getpid()  # nothing is left behind


@pytest.mark.slow
def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(parallel, "TIMEOUT", 0.3)
    address = "tcp://127.0.0.1:9"
    with pytest.raises(InputError) as raised, parallel.backend(run(backend="dask", scheduler=address)):
        pass
    assert str(raised.value) == (
        f"run.scheduler: no dask scheduler responds at {address}; start one with `dask scheduler`"
    )
    with distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=None) as cluster:
        address = cluster.scheduler_address
        with pytest.raises(InputError) as raised, parallel.backend(run(backend="dask", scheduler=address)):
            pass
    assert str(raised.value) == (
        f"run.scheduler: the dask scheduler at {address} has no workers; start one with `dask worker {address}`"
    )


@pytest.mark.parametrize(
    ("backend", "module", "package"), [("dask", "distributed", "'dask[distributed]'"), ("ray",) * 3]
)
def test_a_missing_package(monkeypatch: pytest.MonkeyPatch, backend: str, module: str, package: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError) as raised, parallel.backend(run(backend=backend)):
        pass
    assert str(raised.value) == (
        f"run.backend: {backend} needs a package that is not installed; run `pip install {package}` here and on every "
        "worker"
    )


def test_ray_is_started_registered_and_shut_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in of the two calls that are made of it: ray itself takes seconds and gigabytes."""
    done: list[Any] = []
    ray = types.ModuleType("ray")
    ray.init = lambda **words: done.append(words)  # type: ignore[attr-defined]
    ray.shutdown = lambda: done.append("shut down")  # type: ignore[attr-defined]
    bridge = types.ModuleType("ray.util.joblib")
    bridge.register_ray = lambda: done.append("registered")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.util.joblib", bridge)

    @contextmanager
    def configured(backend: str) -> Iterator[None]:
        done.append(backend)
        yield

    monkeypatch.setattr(joblib, "parallel_config", configured)
    with parallel.backend(run(backend="ray", scheduler="head:6379")):
        pass
    assert done == [{"address": "head:6379", "num_cpus": None}, "registered", "ray", "shut down"]

    def refuse(**words: Any) -> None:
        raise ConnectionError("Could not find any running Ray instance.\nmore")

    ray.init = refuse  # type: ignore[attr-defined]
    with pytest.raises(InputError) as raised, parallel.backend(run(backend="ray", scheduler="head:6379")):
        pass
    assert str(raised.value) == (
        "run.scheduler: no ray cluster responds at head:6379: Could not find any running Ray instance."
    )


@pytest.mark.slow
def test_a_backend_that_gives_lists_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Joblib's own multiprocessing, of which ray's backend is a kind."""
    monkeypatch.setattr(parallel, "PENDING", 2)
    with joblib.parallel_config(backend="multiprocessing"):
        assert list(parallel.in_order((joblib.delayed(abs)(-number) for number in range(5)), 2)) == [0, 1, 2, 3, 4]


@pytest.mark.slow
def test_processes_are_started_for_what_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = [joblib.delayed(os.getpid)() for _ in range(4)]
    assert set(parallel.in_order(tasks, 2)) == {os.getpid()}
    monkeypatch.setattr(parallel, "SERIAL", 0)
    assert os.getpid() not in set(parallel.in_order(tasks, 2))


@pytest.mark.slow
def test_few_results_wait_for_who_takes_them_slowly() -> None:
    """By itself joblib would go through all tasks meanwhile."""
    started = []

    def tasks() -> Iterator[Any]:
        for number in range(1_000):
            started.append(number)
            yield joblib.delayed(abs)(-number)

    with joblib.parallel_config(backend="threading"):
        results = parallel.in_order(tasks(), 2)
        assert next(results) == 0
        time.sleep(0.3)  # enough for all of them
        assert len(started) == parallel.PENDING
        assert list(results) == list(range(1, 1_000))


def test_an_address_needs_a_cluster() -> None:
    content = {**SETTINGS.model_dump(by_alias=True), "run": {**SETTINGS.run.model_dump(), "scheduler": "tcp://a:1"}}
    with pytest.raises(InputError) as raised:
        params.parse(content)
    assert str(raised.value) == (
        "params.yaml: run: scheduler has no effect with backend: processes; set that to dask or ray"
    )
