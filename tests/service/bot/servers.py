"""Servers on this machine that the bot talks to: a Bot API, and an API with the response models of the real one.

Both run in threads of the test process, by uvicorn on a free port.
"""

import asyncio
import base64
import io
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI, Request, UploadFile
from PIL import Image
from starlette.applications import Starlette
from starlette.datastructures import UploadFile as SentFile
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fakeprint.service import problems, schemas
from fakeprint.service.bot.application import build
from fakeprint.service.bot.settings import BotSettings

TOKEN = "4200:AAF-fake_Token"
PATIENCE = 20.0  # seconds until a test that waits in vain fails


@contextmanager
def served(app: Any) -> Iterator[str]:
    """The address of an application that answers on a free port."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        server.force_exit = True  # a connection that its client left may keep uvicorn waiting
        thread.join(PATIENCE)
        assert not thread.is_alive()


@contextmanager
def polling(settings: BotSettings) -> Iterator[None]:
    """The real application, which polls in a thread."""
    stop, loop = asyncio.Event(), asyncio.new_event_loop()

    async def run() -> None:
        async with build(settings) as application:
            await application.start()
            await application.updater.start_polling(allowed_updates=["message"])
            await stop.wait()
            await application.updater.stop()
            await application.stop()

    thread = threading.Thread(target=loop.run_until_complete, args=[run()])
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def picture(kind: str = "PNG", size: int = 32, seed: int = 0) -> bytes:
    """A file with a small image of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def command(text: str) -> dict[str, Any]:
    """The content of a message with a command, as /help."""
    return {"text": text, "entities": [{"type": "bot_command", "offset": 0, "length": len(text)}]}


# --- the Bot API ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sent:
    """What the bot has sent: the method, its parameters and the files with it."""

    method: str
    parameters: dict[str, Any]
    files: dict[str, bytes]

    @property
    def text(self) -> str:
        """The text, or the caption."""
        media = self.parameters.get("media")
        return (media[0] if media else self.parameters).get("caption") or self.parameters.get("text", "")


@dataclass
class BotApi:
    """Telegram's side. failures: error bodies that the next calls of a method get instead of a result."""

    updates: list[dict[str, Any]] = field(default_factory=list)
    stored: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    calls: list[Sent] = field(default_factory=list)
    failures: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    count: int = 0
    delivered: int = 0
    heard: threading.Condition = field(default_factory=threading.Condition)

    def message(self, chat: int, group: bool = False, **content: Any) -> dict[str, Any]:
        """A message, not yet delivered."""
        self.count += 1
        where = (
            {"id": chat, "type": "group", "title": "g"} if group else {"id": chat, "type": "private", "first_name": "A"}
        )
        sender = {"id": 77, "is_bot": False, "first_name": "A"}
        return {"message_id": self.count, "date": 1_790_000_000, "chat": where, "from": sender, **content}

    def deliver(self, *messages: dict[str, Any]) -> None:
        """Give messages to the next getUpdates, as updates whose numbers ascend."""
        self.updates.extend(self._update(message) for message in messages)

    def update(self, message: dict[str, Any]) -> str:
        """The body of a call of the webhook."""
        return json.dumps(self._update(message))

    def _update(self, message: dict[str, Any]) -> dict[str, Any]:
        self.delivered += 1
        return {"update_id": self.delivered, "message": message}

    def photo(self, content: bytes) -> dict[str, Any]:
        """The content of a message with a photo, in the two sizes that Telegram makes of it."""
        sizes = [(self._store(content), 1280, len(content)), (self._store(b"thumbnail"), 90, 9)]
        return {"photo": [{**_file(file, size), "width": width, "height": width} for file, width, size in sizes]}

    def document(self, content: bytes, name: str, kind: str, size: int | None = None) -> dict[str, Any]:
        """The content of a message with a file. size: what Telegram says of it, where it is not the file's."""
        file = _file(self._store(content, size), len(content) if size is None else size)
        return {"document": {**file, "file_name": name, "mime_type": kind}}

    def sent(self, chat: int, count: int = 1) -> list[Sent]:
        """Wait until the bot has sent so many messages to a chat, and return all of them."""
        with self.heard:
            assert self.heard.wait_for(lambda: len(self._to(chat)) >= count, PATIENCE), self._to(chat)
            return self._to(chat)

    def _to(self, chat: int) -> list[Sent]:
        messages = [call for call in self.calls if call.method.startswith("send") and call.method != "sendChatAction"]
        return [call for call in messages if call.parameters["chat_id"] == str(chat)]

    def _store(self, content: bytes, size: int | None = None) -> str:
        name = f"file{len(self.stored)}"
        self.stored[name] = (content, len(content) if size is None else size)
        return name

    def app(self) -> Starlette:
        """The server."""
        return Starlette(
            routes=[
                Route("/bot{token}/{method}", self._call, methods=["GET", "POST"]),
                Route("/file/bot{token}/{name}", self._download),
            ]
        )

    async def _download(self, request: Request) -> Response:
        return Response(self.stored[request.path_params["name"]][0])

    async def _call(self, request: Request) -> Response:
        if request.path_params["token"] != TOKEN:
            return _error(401, "Unauthorized")
        form = await request.form()
        files = {key: await value.read() for key, value in form.items() if isinstance(value, SentFile)}
        parameters = {key: _value(key, value) for key, value in form.items() if isinstance(value, str)}
        method = request.path_params["method"]
        if self.failures.get(method):
            failure = self.failures[method].pop(0)
            return JSONResponse({"ok": False, **failure}, failure["error_code"])
        result = await self._result(method, parameters)
        with self.heard:
            self.calls.append(Sent(method, parameters, files))
            self.heard.notify_all()
        return JSONResponse({"ok": True, "result": result})

    async def _result(self, method: str, parameters: dict[str, Any]) -> Any:
        if method == "getMe":
            return {"id": 4200, "is_bot": True, "first_name": "Fakeprint", "username": "fakeprint_bot"}
        if method == "getUpdates":
            return await self._next_updates(int(parameters.get("offset", 0)), float(parameters.get("timeout", 0)))
        if method == "getFile":
            name = parameters["file_id"]
            return {**_file(name, self.stored[name][1]), "file_path": name}
        if method in ("sendMessage", "sendPhoto", "sendDocument"):
            return self.message(int(parameters["chat_id"]), text="sent")
        if method == "sendMediaGroup":
            return [self.message(int(parameters["chat_id"]), text="sent") for _ in parameters["media"]]
        assert method in ("deleteWebhook", "setWebhook", "setMyCommands", "sendChatAction"), method
        return True

    async def _next_updates(self, offset: int, timeout: float) -> list[dict[str, Any]]:
        self.updates[:] = [update for update in self.updates if update["update_id"] >= offset]
        until = time.monotonic() + min(timeout, 1.0)
        while not self.updates and time.monotonic() < until:
            await asyncio.sleep(0.02)
        return list(self.updates)


def _file(name: str, size: int) -> dict[str, Any]:
    return {"file_id": name, "file_unique_id": name, "file_size": size}


def _error(code: int, description: str) -> JSONResponse:
    return JSONResponse({"ok": False, "error_code": code, "description": description}, code)


def _value(key: str, value: str) -> Any:
    return json.loads(value) if key in ("media", "reply_parameters", "commands", "allowed_updates") else value


# --- the API -------------------------------------------------------------------------------------------------------

MODEL = schemas.Model(
    name="champion",
    model="trace_net",
    version="3",
    digest="d" * 64,
    source="folder",
    serves=True,
    kind="network",
    classes=["0", "1", "2"],
    names=["camera", "blue generator", "red generator"],
    image_size=100,
    data="a small data set",
    accuracy=schemas.Accuracy(split="validation", value=0.945, low=0.931, high=0.956, confidence=0.95, images=1250),
)
WORST = schemas.Degraded(degradation="jpeg_50", value=0.862, low=0.842, high=0.881)
REASON = "0.971 is at least 0.92, from which at most 2 % of answers are wrong (95 % confidence)"


@dataclass
class Api:
    """Fakeprint's side: images that Pillow opens get an answer, others are unreadable.

    given: of `schemas.Prediction`, what differs from a sure answer. refusal: what each request gets instead. seconds:
    how long an answer takes. model: the one that serves.
    """

    given: dict[str, Any] = field(default_factory=dict)
    refusal: tuple[int, str] | None = None
    seconds: float = 0.0
    model: schemas.Model = field(default_factory=lambda: MODEL)
    asked: list[dict[str, Any]] = field(default_factory=list)

    def app(self) -> FastAPI:
        """The server."""
        app = FastAPI()
        problems.add_handlers(app)

        @app.post("/predict")
        async def predict(
            request: Request, files: list[UploadFile], explain: bool = False, evidence: bool = False
        ) -> schemas.PredictResponse:
            sent = [(file.filename or "", await file.read()) for file in files]
            self.asked.append({"files": sent, "explain": explain, "key": request.headers.get("Authorization")})
            await asyncio.sleep(self.seconds)
            self._refuse()
            version = schemas.ModelVersion(**self.model.model_dump(include={"name", "version", "digest", "source"}))
            images = [self._answer(name, content, explain) for name, content in sent]
            return schemas.PredictResponse(model=version, data=self.model.data, certificate=None, images=images)

        @app.get("/models")
        def models() -> schemas.Models:
            self._refuse()
            return schemas.Models(models=[self.model], revision=1)

        return app

    def _refuse(self) -> None:
        if self.refusal:
            raise problems.ServiceError(*self.refusal)

    def _answer(self, name: str, content: bytes, explain: bool) -> schemas.Prediction | schemas.Unreadable:
        try:
            Image.open(io.BytesIO(content)).load()
        except OSError:
            return schemas.Unreadable(image=name, detail="damaged: not an image")
        return schemas.Prediction(
            **{
                "image": name,
                "answer": "label",
                "label": "1",
                "name": "blue generator",
                "score": 0.971,
                "set": ["1"],
                "reason": REASON,
                "probabilities": {"0": 0.02, "1": 0.971, "2": 0.009},
                "map": base64.b64encode(picture(seed=len(content))).decode() if explain else None,
                **self.given,
            }
        )
