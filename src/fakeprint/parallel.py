"""Where the tasks of augmentation, features and decoding run: this machine's processes, or a cluster's, by joblib.

Every task gets what it works on and gives its result back, and depends on nothing else: where it runs changes nothing.
"""

import importlib
import itertools
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

import joblib
from joblib.parallel import LokyBackend, get_active_backend

from fakeprint.errors import InputError

if TYPE_CHECKING:  # worker processes import this module, and need no pydantic
    from fakeprint.params import Run

ALONE = 2.0  # seconds of work done in this process before others are started, which itself takes one or two
AT_ONCE = 64  # tasks, or 8 a worker if these are more, whose results may wait together for whoever takes them
PATIENCE = 20.0  # seconds to wait for a scheduler, and for its first worker
PACKAGES = {"dask": ("distributed", "'dask[distributed]'"), "ray": ("ray", "ray")}


@contextmanager
def backend(run: "Run") -> Iterator[None]:
    """Have joblib's tasks inside the context run where `run.backend` and `run.scheduler` say.

    Raises InputError where the backend's package is missing, or nobody answers at the address.
    """
    if run.backend == "processes":
        yield
        return
    package = _imported(run.backend)
    with (_dask if run.backend == "dask" else _ray)(package, run), joblib.parallel_config(backend=run.backend):
        yield


def in_order(tasks: Iterable[Any], workers: int | None, **options: Any) -> Iterator[Any]:
    """The results of joblib's `delayed` tasks in their order, each as soon as it is there, few of them waiting.

    joblib starts a task whenever one ends, however many results wait: these would fill the memory where workers are
    faster than whoever takes them. So it gets `AT_ONCE` tasks, and more when all of their results were taken.

    On one machine the first tasks are done in this process: others are started for what takes longer than `ALONE`.

    workers: None for all cores. options: of `joblib.Parallel`.
    """
    left, active = iter(tasks), get_active_backend()[0]
    if isinstance(active, LokyBackend):
        yield from _done_here(left)
    if active.supports_return_generator:  # ray's gives lists alone
        options["return_as"] = "generator"
    run = joblib.Parallel(n_jobs=workers or -1, **options)
    at_once = max(AT_ONCE, 8 * joblib.effective_n_jobs(workers or -1))
    for first in left:
        yield from run(itertools.chain([first], itertools.islice(left, at_once - 1)))


def _done_here(tasks: Iterator[Any]) -> Iterator[Any]:
    """The results of the first tasks, done in this process: as many as start within `ALONE` seconds of work."""
    spent = 0.0
    while spent < ALONE:
        start = time.perf_counter()
        try:
            function, arguments, options = next(tasks)
        except StopIteration:
            return
        result = function(*arguments, **options)
        spent += time.perf_counter() - start
        yield result


def _imported(name: str) -> ModuleType:
    module, asked = PACKAGES[name]
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InputError(
            f"run.backend: {name} needs a package that is not installed: pip install {asked}, here and on every worker"
        ) from None


@contextmanager
def _dask(distributed: ModuleType, run: "Run") -> Iterator[Any]:
    """A client of the scheduler at `run.scheduler`, or of a cluster of one process a worker on this machine."""
    local = {} if run.scheduler else {"n_workers": run.workers, "threads_per_worker": 1, "dashboard_address": None}
    try:
        client = distributed.Client(run.scheduler, timeout=PATIENCE, **local)
    except (OSError, ValueError):
        raise InputError(
            f"run.scheduler: no dask scheduler answers at {run.scheduler}; start one with `dask scheduler`"
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            raise InputError(
                f"run.scheduler: the dask scheduler at {run.scheduler} has no workers; start one with "
                f"`dask worker {run.scheduler}`"
            ) from None
        yield client


@contextmanager
def _ray(ray: ModuleType, run: "Run") -> Iterator[None]:
    """A connection to the cluster whose head is at `run.scheduler`, or to one on this machine."""
    try:
        ray.init(address=run.scheduler, num_cpus=None if run.scheduler else run.workers)
    except (ConnectionError, ValueError) as error:
        said = str(error).strip().splitlines()[0]
        raise InputError(f"run.scheduler: no ray cluster answers at {run.scheduler}: {said}") from None
    try:
        importlib.import_module("ray.util.joblib").register_ray()
        yield
    finally:
        ray.shutdown()
