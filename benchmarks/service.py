"""`POST /predict` under load: requests per second and latency, memory, and what the service adds to the bare model.

The server runs in a process of its own (`fakeprint serve`, loopback), with the model that comes with Fakeprint; the
clients are threads of this process, and share its cores. Images are 100×100 PNG files of noise.

- throughput with 1, 8 and 32 clients × one image and 16 images per request, against the model alone on whole batches of
  decoded images (goal at 32 clients with 16 images: 0.8 of it), and against a plain FastAPI handler that predicts each
  request by itself (goal at 32 clients with one image: 1.5 times);
- a request of one image alone against its forward pass, which 5 ms may be added to, and against forward passes of the
  model alone: between requests the model's weights leave the cores' caches, so its passes in a server take longer;
- the server's memory after `--requests` requests against its memory after the first tenth of them.

`python -m benchmarks.service [--json FILE] [--requests N] [--seconds S]`
"""

import argparse
import contextlib
import http.client
import itertools
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from benchmarks.table import Row, report, row
from fakeprint.named_models import SHIPPED
from fakeprint.predict import BATCH, load_model

SIDE, IMAGES = 100, 64  # of the pictures, and how many differ
CLIENTS, PER_REQUEST = (1, 8, 32), (1, 16)
MODEL = "unibuc"
ROUNDS = 3  # of throughput
IN_TURN, PAUSE = 10, 0.3  # requests and passes at a time; seconds between them
SETTINGS = {"FAKEPRINT_RATE": "1000000/second", "FAKEPRINT_MODEL": MODEL, "FAKEPRINT_REQUEST_SECONDS": "600"}
PLAIN = """
import sys
import uvicorn
from fastapi import FastAPI, UploadFile

from fakeprint.named_models import SHIPPED
from fakeprint.predict import image_of, load_model, stacked
from fakeprint.verdict.decision import load_decision
model, decision = load_model(SHIPPED / "unibuc", workers=1), load_decision(SHIPPED / "unibuc")
app = FastAPI()
@app.get("/ready")
def ready(): return {}
@app.post("/predict")
def predict(files: list[UploadFile]):
    images = [image_of(file.file.read(), model.dataset) for file in files]
    answers = decision.answers(model.probabilities(stacked(images, model)), model.dataset.names)
    return [{"answer": each.answer, "probabilities": each.probabilities.tolist()} for each in answers]
print("http://127.0.0.1:" + sys.argv[1], flush=True)
uvicorn.run(app, port=int(sys.argv[1]), log_level="error")
"""


@dataclass(frozen=True)
class Load:
    """What was measured: images per second, and milliseconds of a request."""

    images: float
    mean: float
    p50: float
    p99: float


def pictures() -> list[bytes]:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(IMAGES):
        content = BytesIO()
        Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(content, "PNG")
        found.append(content.getvalue())
    return found


def body_of(images: list[bytes]) -> tuple[bytes, str]:
    """A multipart body and its content type."""
    parts = [
        b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n' + image + b"\r\n"
        for image in images
    ]
    return b"".join(parts) + b"--b--\r\n", "multipart/form-data; boundary=b"


@contextlib.contextmanager
def server(*command: str) -> Iterator[tuple[str, int, psutil.Process]]:
    """A server in a process of its own, when it is ready: host, port, process."""
    with tempfile.TemporaryDirectory() as folder, Path(folder, "log").open("wb") as log:
        environment = {**os.environ, **SETTINGS, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
        process = subprocess.Popen(
            [sys.executable, *command], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        )
        assert process.stdout is not None
        host, port = re.findall(r"http://([\d.]+):(\d+)", process.stdout.readline())[0]
        try:
            while not is_ready(host, int(port)):
                time.sleep(0.1)
            yield host, int(port), psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait()


def is_ready(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def ours() -> contextlib.AbstractContextManager[tuple[str, int, psutil.Process]]:
    return server("-m", "fakeprint", "serve", "--port", "0", "--workers", "0", "--folder", "service")


def plain() -> contextlib.AbstractContextManager[tuple[str, int, psutil.Process]]:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return server("-c", PLAIN, str(port))


def load(host: str, port: int, clients: int, per_request: int, requests: int, seconds: float) -> Load:
    """Clients that send their next request as soon as they have their answer: `requests` in all, at most `seconds`."""
    images = pictures()
    bodies = [body_of([images[(first + each) % IMAGES] for each in range(per_request)]) for first in range(IMAGES)]
    numbers, latencies, until = itertools.count(), [], time.perf_counter() + seconds
    failures: list[int] = []

    def client() -> None:
        connection = http.client.HTTPConnection(host, port)
        while (number := next(numbers)) < requests and time.perf_counter() < until:
            body, kind = bodies[number % IMAGES]
            start = time.perf_counter()
            connection.request("POST", "/predict", body, {"Content-Type": kind})
            response = connection.getresponse()
            response.read()
            latencies.append(time.perf_counter() - start)
            if response.status != 200:
                failures.append(response.status)
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    start = time.perf_counter()
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    spent = time.perf_counter() - start
    if failures:
        raise SystemExit(f"{len(failures)} requests failed, with status {sorted(set(failures))}")
    p50, p99 = np.percentile(1000 * np.array(latencies), [50, 99])
    return Load(len(latencies) * per_request / spent, 1000 * statistics.fmean(latencies), float(p50), float(p99))


class Bare:
    """The model alone, in this process."""

    def __init__(self) -> None:
        self._model = load_model(SHIPPED / MODEL, workers=1)
        self._batch = np.random.default_rng(0).integers(0, 256, (BATCH, SIDE, SIDE, 3), dtype=np.uint8)
        self.images_per_second(1)  # not measured

    def images_per_second(self, passes: int = 3) -> float:
        """Of whole batches of decoded images; median of a few passes."""
        return BATCH / statistics.median(self._seconds(BATCH) for _ in range(passes))

    def milliseconds(self) -> float:
        """Of one image alone."""
        return 1000 * self._seconds(1)

    def _seconds(self, images: int) -> float:
        start = time.perf_counter()
        self._model.probabilities(self._batch[:images])
        return time.perf_counter() - start


def throughput(bare: Bare, requests: int, seconds: float) -> list[Row]:
    """Every number of clients and images in turn, three times: the model alone, our server, and at 32 the plain one."""
    whole: list[float] = []
    found: dict[tuple[int, int], list[Load]] = defaultdict(list)
    peers: dict[int, list[Load]] = defaultdict(list)
    with ours() as (host, port, _), plain() as (plain_host, plain_port, _):
        load(host, port, 8, 1, 50, seconds)  # not measured
        load(plain_host, plain_port, 8, 1, 50, seconds)
        for _, (clients, images) in itertools.product(range(ROUNDS), itertools.product(CLIENTS, PER_REQUEST)):
            whole.append(bare.images_per_second(1))
            found[clients, images].append(load(host, port, clients, images, requests, seconds))
            if clients == max(CLIENTS):
                peers[images].append(load(plain_host, plain_port, clients, images, requests, seconds))
    rows, alone = [], statistics.median(whole)
    for (clients, images), loads in found.items():
        each = median_of(loads)
        name = f"{clients} × {images} (p50 {each.p50:.0f} ms, p99 {each.p99:.0f} ms): model alone"
        goal = 0.8 if (clients, images) == (32, 16) else None
        rows.append(row(name, each.images, alone, "images/s", "higher", goal))
    for images, loads in peers.items():
        peer = median_of(loads)
        name = f"32 × {images}: plain FastAPI (p50 {peer.p50:.0f} ms, p99 {peer.p99:.0f} ms)"
        goal = 1.5 if images == 1 else None
        rows.append(row(name, median_of(found[32, images]).images, peer.images, "images/s", "higher", goal))
    return rows


def median_of(loads: list[Load]) -> Load:
    """Each figure's median."""
    return Load(*(statistics.median(figures) for figures in zip(*map(astuple, loads), strict=True)))


def overhead(bare: Bare, rounds: int) -> list[Row]:
    """One image alone, ten requests and ten forward passes in turn; 5 ms may be added to a request's forward pass.

    A pause separates the two: OpenMP's threads go on spinning for a while after a forward pass, and the other process
    would have to share its cores with them.
    """
    requests, own, passes = [], [], []
    with ours() as (host, port, _):
        load(host, port, 1, 1, 20, 60)  # not measured
        for _ in range(rounds):
            before = seconds_of_passes(host, port)
            requests.append(load(host, port, 1, 1, IN_TURN, 60).mean)
            own.append(1000 * (seconds_of_passes(host, port) - before) / IN_TURN)
            time.sleep(PAUSE)
            passes.append(statistics.fmean(bare.milliseconds() for _ in range(IN_TURN)))
            time.sleep(PAUSE)
    request, within, alone = statistics.median(requests), statistics.median(own), statistics.median(passes)
    added = statistics.median(whole - part for whole, part in zip(requests, own, strict=True))
    return [
        row(f"a request alone ({request:.1f} ms), without its pass: 5 ms", added, 5, "ms", "lower", 1.0),
        row("a forward pass of the server: of the model alone", within, alone, "ms", "lower", None),
    ]


def seconds_of_passes(host: str, port: int) -> float:
    """How long all forward passes of a server took together."""
    connection = http.client.HTTPConnection(host, port)
    connection.request("GET", "/metrics")
    found = re.search(rb"^fakeprint_batch_seconds_sum (.*)$", connection.getresponse().read(), re.MULTILINE)
    connection.close()
    assert found is not None
    return float(found[1])


def memory(requests: int) -> list[Row]:
    """Resident memory after all requests, against that after a tenth of them."""
    with ours() as (host, port, process):
        load(host, port, 8, 1, requests // 10, 3600)
        first = process.memory_info().rss / 2**20
        load(host, port, 8, 1, requests - requests // 10, 3600)
        last = process.memory_info().rss / 2**20
    return [row(f"memory after {requests:,} requests: after {requests // 10:,}", last, first, "MiB", "lower", 0.95)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows to FILE")
    parser.add_argument("--requests", type=int, default=20_000, help="of the row on memory (default: 20,000)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load, at most (default: 5)")
    args = parser.parse_args()
    bare, most = Bare(), min(args.requests, 4000)
    rows = [*throughput(bare, most, args.seconds), *overhead(bare, min(most, 200) // IN_TURN), *memory(args.requests)]
    report(rows, f"POST /predict, {MODEL}, {os.cpu_count()} cores", args.json)


if __name__ == "__main__":
    main()
