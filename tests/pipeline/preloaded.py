"""Run `python -m MODULE …` in forks of one process that has loaded the large libraries: that is most of a stage's time.

    python preloaded.py      # listens at `socket` in the folder that it is started in, until its stdin ends

The client, preloaded_client.py, sends its arguments, folder, environment and standard streams, and waits for the exit
status. fakeprint and the stages are not loaded here: each fork imports them anew, from the folder that it runs in.
"""

import atexit
import contextlib
import gc
import importlib
import importlib.util
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

LIBRARIES = (
    *("cv2", "PIL.Image", "numpy", "pandas", "pyarrow.parquet", "scipy.optimize", "scipy.stats", "joblib", "faiss"),
    *("sklearn.calibration", "sklearn.discriminant_analysis", "sklearn.ensemble", "sklearn.linear_model"),
    *("sklearn.metrics", "sklearn.svm", "skops.io", "torch", "torchvision", "safetensors.torch", "mlflow"),
    *("matplotlib.figure", "matplotlib.backends.backend_agg", "pydantic", "rich.console", "ruamel.yaml", "tqdm"),
    *("dvc.cli.parser", "dvc.repo", "dvc.repo.experiments", "dvc.repo.plots", "dvc.repo.reproduce"),
)


def wait_for_a_call() -> dict[str, Any]:
    """What a client has sent. Returns in forks alone, one for each call; at the end of stdin the process exits."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        listening.listen(64)
        while True:
            ready, _, _ = select.select([listening, 0], [], [])
            if 0 in ready:
                Path("socket").unlink()
                sys.exit()
            client, _ = listening.accept()
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks here
            if os.fork():
                client.close()
                continue
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listening.close()
            return answered(client)


def answered(client: socket.socket) -> dict[str, Any]:
    """The call. Returns in one more fork; the process itself sends its exit status to the client."""
    length, streams, _, _ = socket.recv_fds(client, 4, 3)
    with client.makefile("rb") as file:
        call: dict[str, Any] = json.loads(file.read(int.from_bytes(length, "big")))
    process = os.fork()
    with contextlib.suppress(OSError):  # set on both sides, for either may be the first
        os.setpgid(process, process)
    if process:
        for stream in streams:
            os.close(stream)
        ended = os.pidfd_open(process)
        if ended not in select.select([client, ended], [], [])[0]:  # the client has gone
            os.killpg(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        with contextlib.suppress(BrokenPipeError):
            client.sendall(str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    client.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    return call


def run(words: list[str], folder: str, environment: dict[str, str]) -> None:
    """As a new Python does with `-m`."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    extra = [os.path.abspath(place) for place in environment.get("PYTHONPATH", "").split(":") if place]  # noqa: PTH100
    sys.path[:1] = [folder, *extra]  # instead of the folder of this file
    sys.modules.pop("sitecustomize", None)
    if importlib.util.find_spec("sitecustomize"):
        importlib.import_module("sitecustomize")
    sys.argv = ["-m", *words[1:]]
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)


def forked(call: dict[str, Any]) -> int:
    """The exit status of a call, after which nothing is to be done but to leave."""
    status = 0
    try:
        run(**call)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else end.code is not None
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return status


if __name__ == "__main__":
    for library in LIBRARIES:
        importlib.import_module(library)
    sys.path.insert(0, str(Path(__file__).parent))
    importlib.import_module("quick_yaml")
    del sys.path[0]
    assert threading.active_count() == 1, "a fork has no other thread than its own"
    gc.collect()
    gc.freeze()  # what is loaded is not looked through, and so not copied, by each fork
    os._exit(forked(wait_for_a_call()))
