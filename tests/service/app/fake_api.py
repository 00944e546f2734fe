"""An API whose answers are made up, but have the types of `schemas.py`: FastAPI refuses to send anything else."""

import base64
import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated

import numpy as np
import uvicorn
from fastapi import FastAPI, File, Form, Header, Response, UploadFile
from fastapi.responses import PlainTextResponse
from PIL import Image

from fakeprint.service import problems, schemas
from fakeprint.service.problems import ServiceError

CLASSES = ["a", "b", "c"]
NAMES = ["camera", "generator b", "generator c"]
THEN = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def png(seed: int = 0, size: int = 64) -> bytes:
    """A small picture."""
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (size, size, 3), np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def model(name: str, serves: bool = False, **more: object) -> schemas.Model:
    """A model of this name."""
    about: dict = {
        "name": name,
        "version": "1",
        "digest": name * 4,
        "source": "folder",
        "serves": serves,
        "kind": "network",
        "classes": CLASSES,
        "names": NAMES,
        "image_size": 64,
        "data": "drawn data",
        "hyperparameters": {"dropout": 0.3},
        "backbone": "trace_net",
        "last_activation": "softmax",
        "accuracy": {
            "split": "validation",
            "value": 0.944,
            "low": 0.93,
            "high": 0.956,
            "confidence": 0.95,
            "images": 1250,
        },
        "calibration": {"method": "temperature", "temperature": 1.2},
        "certificate": "score of at least 0.92: at most 2 % of answers are wrong (95 % confidence)",
    }
    return schemas.Model(**(about | more))


def job(identity: str, state: schemas.State = "running", **more: object) -> schemas.Job:
    """A job of this id."""
    about: dict = {
        "id": identity,
        "state": state,
        "dataset": "d1",
        "preset": "demo",
        "parameters": {},
        "title": None,
        "created": THEN,
        "started": THEN,
    }
    return schemas.Job(**(about | more))


@dataclass
class World:
    """What the API holds; tests change it. answers: the answer of an image by its name, otherwise `label`."""

    models: list[schemas.Model] = field(default_factory=lambda: [model("first", serves=True), model("second")])
    revision: int = 4
    note: str | None = None
    answers: dict[str, str] = field(default_factory=dict)
    datasets: list[schemas.Dataset] = field(default_factory=list)
    jobs: dict[str, schemas.Job] = field(default_factory=dict)
    parameters: dict[str, dict] = field(default_factory=dict)
    requests: list[tuple[str, object]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    refusal: tuple[int, str] | None = None
    url: str = ""

    def dataset(self, identity: str = "d1", name: str = "drawn") -> schemas.Dataset:
        """Add a data set."""
        made = schemas.Dataset(
            id=identity,
            name=name,
            digest=identity * 8,
            bytes=2**21,
            images=90,
            classes={"a": 40, "b": 30, "c": 20},
            created=THEN,
        )
        self.datasets.append(made)
        return made


def create(world: World) -> FastAPI:
    """The application."""
    app = FastAPI()
    problems.add_handlers(app)

    def refuse() -> None:
        if world.refusal:
            raise ServiceError(*world.refusal)

    @app.get("/models")
    def models() -> schemas.Models:
        refuse()
        return schemas.Models(models=world.models, revision=world.revision, note=world.note)

    @app.get("/ready")
    def ready(response: Response) -> schemas.Ready:
        serving = next((each for each in world.models if each.serves), None)
        if serving is None:
            response.status_code = 503
            return schemas.Ready(ready=False, detail="the model is being loaded")
        return schemas.Ready(ready=True, model=schemas.ModelVersion(**serving.model_dump()), detail=world.note)

    @app.post("/set")
    def choose(request: schemas.SetRequest) -> schemas.Serving:
        refuse()
        world.requests.append(("set", request.model_dump()))
        if request.expected_revision not in (None, world.revision):
            raise ServiceError(409, f"the revision is {world.revision}, not {request.expected_revision}")
        for each in world.models:
            each.serves = each.name == request.name
        world.revision += 1
        chosen = next(each for each in world.models if each.serves)
        return schemas.Serving(model=schemas.ModelVersion(**chosen.model_dump()), revision=world.revision)

    @app.post("/predict")
    def predict(files: list[UploadFile], explain: bool = False, evidence: bool = False) -> schemas.PredictResponse:
        refuse()
        world.requests.append(("predict", ([file.filename for file in files], explain, evidence)))
        serving = next(each for each in world.models if each.serves)
        return schemas.PredictResponse(
            model=schemas.ModelVersion(**serving.model_dump()),
            data=serving.data,
            certificate=serving.certificate,
            never_checked=["SynthID"] if evidence else None,
            images=[_answer(world, str(file.filename), explain, evidence) for file in files],
        )

    @app.get("/datasets")
    def datasets() -> schemas.Datasets:
        return schemas.Datasets(datasets=world.datasets)

    @app.post("/datasets", status_code=201)
    def send(archive: Annotated[UploadFile, File()], name: Annotated[str, Form()]) -> schemas.Dataset:
        refuse()
        return world.dataset("d2", name)

    @app.get("/datasets/{identity}/images")
    def images(identity: str, split: str | None = None, first: int = 0, limit: int = 100) -> schemas.DatasetImages:
        if all(each.id != identity for each in world.datasets):
            raise ServiceError(404, "there is no such data set; `GET /datasets` lists yours")
        listed = [
            schemas.DatasetImage(
                number=number, name=f"{number}.png", split="train" if number < 140 else "test", label="abc"[number % 3]
            )
            for number in range(150)
        ]
        found = [each for each in listed[first:] if split in (None, each.split)][:limit]
        return schemas.DatasetImages(images=found, splits={"train": 140, "validation": 0, "test": 10})

    @app.get("/datasets/{identity}/images/{number}")
    def image(identity: str, number: int) -> Response:
        world.requests.append(("image", number))
        return Response(png(number), media_type="image/png")

    @app.delete("/datasets/{identity}", status_code=204)
    def delete(identity: str) -> None:
        if any(each.dataset == identity and each.state == "running" for each in world.jobs.values()):
            raise ServiceError(409, "a job uses this data set; cancel it first")
        world.datasets = [each for each in world.datasets if each.id != identity]

    @app.get("/eda")
    def eda(dataset: str) -> schemas.Profile:
        return schemas.Profile(
            dataset=dataset,
            digest="0",
            splits={"train": {"a": 40, "b": 30, "c": 20}},
            sizes={"64×64": 80, "100×80": 10},
            channel_means=(120.5, 100.0, 90.0),
            channel_deviations=(60.0, 50.0, 40.0),
            outliers=["train/1.png"],
            duplicates={"exact": 2, "near": 0},
            shortcuts=["file format alone tells 80 % of the classes"],
            unusable={"damaged": 1},
            pictures={"class_means": base64.b64encode(png(3, 200)).decode()},
        )

    @app.get("/fit/options")
    def options(preset: str = "demo") -> schemas.FitOptions:
        return schemas.FitOptions(presets={"demo": "a few minutes"}, parameters=world.parameters)

    @app.post("/fit", status_code=202)
    def fit(request: schemas.FitRequest, idempotency_key: Annotated[str, Header()]) -> schemas.Job:
        world.keys.append(idempotency_key)
        refuse()
        world.requests.append(("fit", request.model_dump()))
        made = job("j9", "queued", title=request.title, parameters=request.parameters)
        world.jobs[made.id] = made
        return made

    @app.get("/jobs")
    def jobs(after: str | None = None) -> schemas.Jobs:
        found = list(world.jobs.values())
        return schemas.Jobs(
            jobs=found[:2] if after is None else found[2:], next="2" if found[2:] and not after else None
        )

    @app.get("/jobs/{identity}")
    def one(identity: str) -> schemas.Job:
        refuse()
        if identity not in world.jobs:
            raise ServiceError(404, f"there is no job '{identity}'")
        return world.jobs[identity]

    @app.delete("/jobs/{identity}")
    def cancel(identity: str) -> schemas.Job:
        world.jobs[identity].state = "cancelling"
        return world.jobs[identity]

    @app.get("/jobs/{identity}/log", response_class=PlainTextResponse)
    def log(identity: str, tail: int) -> str:
        return "\n".join(f"line {number}" for number in range(60)[-tail:]) + "\n"

    return app


def _answer(world: World, name: str, explain: bool, evidence: bool) -> schemas.Prediction | schemas.Unreadable:
    kind = world.answers.get(name, "label")
    if kind == "unreadable":
        return schemas.Unreadable(image=name, detail="damaged: image file is truncated")
    score = {"label": 0.97, "unsure": 0.61, "unknown": 0.4}[kind]
    found = schemas.Evidence(kind="c2pa", claim="made by <b>Tool</b>", strength="declared", detail="XMP")
    return schemas.Prediction(
        image=name,
        answer=kind,
        label="b",
        name="generator b",
        score=score,
        set=["b"] if kind == "label" else ["a", "b"] if kind == "unsure" else [],
        reason=f"{score} against 0.92",
        probabilities={"a": (1 - score) * 0.75, "b": score, "c": (1 - score) * 0.25},
        evidence=[found] if evidence and kind == "label" else [] if evidence else None,
        map=base64.b64encode(png(1)).decode() if explain and kind != "unknown" else None,
        map_note="a classifier has no map" if explain and kind == "unknown" else None,
    )


@contextmanager
def running(world: World) -> Iterator[World]:
    """The application on a free port of this machine; `world.url` is its address."""
    # with its protocol named, asyncio sends small answers at once
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create(world), log_level="warning", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        world.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        yield world
        server.should_exit = True
        thread.join(10)
