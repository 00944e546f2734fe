"""Parallel tasks of augmentation, features and decoding, by joblib: in processes of this machine or on a cluster.

Tasks receive their inputs and return their results, and depend on nothing else, so the backend does not change results.
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

SERIAL = 2.0  # seconds of work in this process before worker processes are started, which takes a second or two
PENDING = 64  # tasks, or 8 per worker if these are more, whose results may wait in memory
TIMEOUT = 20.0  # seconds to wait for a scheduler, and for its first worker
PACKAGES = {"dask": ("distributed", "'dask[distributed]'"), "ray": ("ray", "ray")}


@contextmanager
def backend(run: "Run") -> Iterator[None]:
    """Have joblib's tasks inside the context run where `run.backend` and `run.scheduler` say.

    Raises InputError if the backend's package is missing, or there is no scheduler at the address.
    """
    if run.backend == "processes":
        yield
        return
    package = _imported(run.backend)
    with (_dask if run.backend == "dask" else _ray)(package, run), joblib.parallel_config(backend=run.backend):
        yield


def in_order(tasks: Iterable[Any], workers: int | None, **options: Any) -> Iterator[Any]:
    """Yield the results of joblib's `delayed` tasks in order, each as soon as it is ready.

    joblib starts a task whenever one ends, even if many results wait, which would fill the memory if workers are faster
    than the consumer. So joblib gets `PENDING` tasks at a time, and more when all of their results are consumed.

    On one machine the first tasks run in this process; worker processes start if these take longer than `SERIAL`.

    workers: None for all cores. options: for `joblib.Parallel`.
    """
    left, active = iter(tasks), get_active_backend()[0]
    if isinstance(active, LokyBackend):
        yield from _done_here(left)
    if active.supports_return_generator:  # ray's returns lists only
        options["return_as"] = "generator"
    run = joblib.Parallel(n_jobs=workers or -1, **options)
    pending = max(PENDING, 8 * joblib.effective_n_jobs(workers or -1))
    for first in left:
        yield from run(itertools.chain([first], itertools.islice(left, pending - 1)))


def _done_here(tasks: Iterator[Any]) -> Iterator[Any]:
    """The results of the first tasks, which run in this process: all that start within `SERIAL` seconds of work."""
    spent = 0.0
    while spent < SERIAL:
        start = time.perf_counter()
        try:
            function, arguments, options = next(tasks)
        except StopIteration:
            return
        result = function(*arguments, **options)
        spent += time.perf_counter() - start
        yield result


def _imported(name: str) -> ModuleType:
    module, requirement = PACKAGES[name]
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InputError(
            f"run.backend: {name} needs a package that is not installed; run `pip install {requirement}` here and on "
            "every worker"
        ) from None


@contextmanager
def _dask(distributed: ModuleType, run: "Run") -> Iterator[Any]:
    """A client of the scheduler at `run.scheduler`, or of a cluster on this machine with one process per worker."""
    local = {} if run.scheduler else {"n_workers": run.workers, "threads_per_worker": 1, "dashboard_address": None}
    try:
        client = distributed.Client(run.scheduler, timeout=TIMEOUT, **local)
    except (OSError, ValueError):
        raise InputError(
            f"run.scheduler: no dask scheduler responds at {run.scheduler}; start one with `dask scheduler`"
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=TIMEOUT)
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
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"run.scheduler: no ray cluster responds at {run.scheduler}: {reason}") from None
    try:
        importlib.import_module("ray.util.joblib").register_ray()
        yield
    finally:
        ray.shutdown()
