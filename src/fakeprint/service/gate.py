"""What a request must pass before its body is read: its size, its key, its rate."""

import asyncio
import contextlib
import ipaddress
import math
import time
from collections.abc import Sequence

from fastapi import Request
from limits import parse
from limits.aio.storage import MemoryStorage  # that of threads starts one for every request
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from starlette.datastructures import Headers
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from fakeprint.errors import InputError
from fakeprint.service.access import authenticated
from fakeprint.service.problems import ServiceError, problem, too_large
from fakeprint.service.settings import MIB, Settings

OPEN = frozenset({"/health", "/ready", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"})
UPLOADS = ("/datasets", "/fit", "/eda")  # whose bodies may be archives
SMALL = "/set"  # whose body is a few words, which the framework parses as a whole
LONGEST_SMALL = 2**16  # bytes of it
LINGER = 2.0  # seconds in which the body of a refused request is received, and thrown away


class Gate:
    """Refuses requests before their body is read or written anywhere.

    In this order: a body that says it is too large (413), another site's page where no key is required (403), an
    unknown or missing key (401), too many requests of one key or address (429). A body that proves too large while it
    is read is refused then. `request.state.caller` is the caller's name and scopes, or None where no key is required.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app, self._settings = app, settings
        self._rate = parsed_rate(settings.rate)
        # a moving window would keep an entry per request, and send each sweep of them to a thread
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it with a problem."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limit(scope["path"])
        try:
            _compare_length(scope, limit)
            if scope["path"] not in OPEN and not _is_preflight(scope):
                await self._admit(scope)
        except ServiceError as error:
            await _discard(scope, receive, int(self._settings.max_body_mib * MIB))
            response = problem(Request(scope), error.status, error.detail, error.headers)
            await response(scope, receive, send)
            return
        await RequestBodyLimitMiddleware(self._app, limit)(scope, receive, send)

    def _limit(self, path: str) -> int:
        """Bytes of the body."""
        mebibytes = self._settings.max_body_mib
        if path == SMALL:
            return min(LONGEST_SMALL, int(mebibytes * MIB))
        if any(path == each or path.startswith(f"{each}/") for each in UPLOADS):
            mebibytes = max(mebibytes, self._settings.max_archive_mib)
        return int(mebibytes * MIB)

    async def _admit(self, scope: Scope) -> None:
        caller, refusal = None, None
        if not self._settings.keys_required:
            _require_own_origin(scope, self._settings.cors_origins)
        if self._settings.keys_required:
            try:
                caller = await asyncio.to_thread(authenticated, scope["app"].state.engine, Headers(scope=scope))
            except ServiceError as error:
                refusal = error
        await self._count(f"key {caller[0]}" if caller else f"address {network_of(scope)}")
        if refusal:
            raise refusal
        scope.setdefault("state", {})["caller"] = caller

    async def _count(self, who: str) -> None:
        if await self._limiter.hit(self._rate, who):
            return
        window = await self._limiter.get_window_stats(self._rate, who)
        seconds = max(1, math.ceil(window.reset_time - time.time()))
        raise ServiceError(
            429, f"more than {self._settings.rate} requests; try again in {seconds} s", {"Retry-After": str(seconds)}
        )


def parsed_rate(rate: str):  # type: ignore[no-untyped-def]
    """A rate as `limits` has it. Raises InputError for what is none."""
    try:
        return parse(rate)
    except ValueError:
        raise InputError(f"rate: '{rate}' is not a rate such as 600/minute") from None


def network_of(scope: Scope) -> str:
    """The client's address; of IPv6 its /64, which is one customer's."""
    host = scope["client"][0] if scope.get("client") else "unknown"
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).version == 6:
            return str(ipaddress.ip_network(f"{host}/64", strict=False))
    return str(host)


def _compare_length(scope: Scope, limit: int) -> None:
    stated = Headers(scope=scope).get("content-length", "0")
    if stated.isdecimal() and int(stated) > limit:
        raise ServiceError(413, too_large(limit))


def _require_own_origin(scope: Scope, allowed: Sequence[str]) -> None:
    """Refuse what a page of another site makes a browser send: it cannot read the answer, but the server would work."""
    headers = Headers(scope=scope)
    origin = headers.get("origin")
    if origin is None or origin in allowed or "*" in allowed or scope["method"] in ("GET", "HEAD", "OPTIONS"):
        return
    if origin.partition("://")[2] != headers.get("host"):
        raise ServiceError(403, "pages of other sites may not call: name them in FAKEPRINT_CORS_ORIGINS")


def _is_preflight(scope: Scope) -> bool:
    return bool(scope["method"] == "OPTIONS" and "access-control-request-method" in Headers(scope=scope))


async def _discard(scope: Scope, receive: Receive, most: int) -> None:
    """Receive what a client sends anyway: it reads the answer only when it has sent its body.

    One that waits for `100 Continue` sends none.
    """
    headers = Headers(scope=scope)
    if headers.get("expect", "").lower() == "100-continue" or not (
        headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    ):
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER):
            while most > 0:
                message = await receive()
                most -= len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
