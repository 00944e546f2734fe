"""Around every request: its id, its line in the log, its metrics, safe headers, and an answer where the code failed."""

import logging
import re
import secrets
import time

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fakeprint.service.metrics import Metrics
from fakeprint.service.problems import problem

log = logging.getLogger("fakeprint.service")
access = logging.getLogger("fakeprint.access")

SANE = re.compile(r"[A-Za-z0-9._:-]{1,64}")
PAGES = ("/docs", "/redoc")  # Swagger UI and ReDoc load scripts from elsewhere
SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


class Observed:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on. What it raises unexpectedly is logged and answered with 500."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if SANE.fullmatch(given) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        started, status = time.perf_counter(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                for name, value in SAFE.items():
                    headers.setdefault(name, value)
                if not scope["path"].startswith(PAGES):
                    headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:
            log.exception("unexpected error", extra={"request_id": request_id})
            if status:
                raise
            response = problem(Request(scope), 500, "unexpected error; look up this request_id in the server's log")
            await response(scope, receive, send_with_headers)
        finally:
            self._note(scope, request_id, status, time.perf_counter() - started)

    def _note(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        route = route_of(scope)
        self._metrics.requests.labels(scope["method"] if route != OTHER else "", route, status).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        caller = scope["state"].get("caller")
        facts = {
            "request_id": request_id,
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "ms": round(1000 * seconds, 1),
            "client": scope["client"][0] if scope.get("client") else None,
            "key": caller[0] if caller else None,
        }
        access.info("request", extra={"facts": facts})


OTHER = "other"


def route_of(scope: Scope) -> str:
    """The path of the endpoint, with the names of its parameters: few, whatever clients send."""
    return str(getattr(scope.get("route"), "path", OTHER))
