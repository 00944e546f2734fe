"""Errors as application/problem+json (RFC 9457), whose `detail` is the one line that the pipeline would print."""

import http
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import MAX_BODY_SIZE_SCOPE_KEY

from fakeprint.errors import InputError, printable
from fakeprint.service.settings import MIB

MEDIA_TYPE = "application/problem+json"
FEW = 5  # mistakes in a request that are named; a body can hold thousands
LONGEST_PLACE = 200  # characters that say where a mistake is: a key may be as long as the body


class Problem(BaseModel):
    """An error's body."""

    type: str = Field("about:blank", description="what kind of error it is; about:blank: as the status says")
    title: str = Field(description="the status in words", examples=["Not Found"])
    status: int = Field(description="the HTTP status", examples=[404])
    detail: str = Field(description="what is wrong and how to fix it, on one line")
    request_id: str | None = Field(None, description="as in the header X-Request-ID and in the log")


class ServiceError(Exception):
    """An error with a status of its own. detail: one line."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


def problem(request: Request, status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """The response that says what is wrong."""
    body = Problem(
        type="about:blank",
        title=http.HTTPStatus(status).phrase,
        status=status,
        detail=printable(detail),  # it may repeat what was sent
        request_id=getattr(request.state, "request_id", None),
    )
    return JSONResponse(body.model_dump(), status, headers=headers, media_type=MEDIA_TYPE)


def too_large(limit: int) -> str:
    """The line of a 413. limit: of the body, in bytes."""
    return f"the body is larger than {f'{limit / MIB:g} MiB' if limit >= MIB else f'{limit / 2**10:g} KiB'}"


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of the errors that an endpoint may answer with."""
    return {
        status: {
            "description": http.HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def add_handlers(app: FastAPI) -> None:
    """Answer every error with a problem. An unexpected one is logged with its traceback; the answer has no details."""

    @app.exception_handler(ServiceError)
    def _service(request: Request, error: ServiceError) -> JSONResponse:
        return problem(request, error.status, error.detail, error.headers)

    @app.exception_handler(InputError)
    def _input(request: Request, error: InputError) -> JSONResponse:
        return problem(request, 422, str(error))

    @app.exception_handler(RequestValidationError)
    def _validation(request: Request, error: RequestValidationError) -> JSONResponse:
        return problem(request, 422, _first_mistakes(error.errors()))

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers) if error.headers else None
        limit = request.scope.get(MAX_BODY_SIZE_SCOPE_KEY)
        if error.status_code == 413 and limit is not None:  # from Starlette, which does not say how large it may be
            return problem(request, 413, too_large(limit), headers)
        return problem(request, error.status_code, str(error.detail), headers)


def _first_mistakes(mistakes: Sequence[Any]) -> str:
    """The first of the mistakes that pydantic finds in a request, each with its place, and how many there are."""
    places = (".".join(str(part) for part in each["loc"])[:LONGEST_PLACE] for each in mistakes[:FEW])
    named = [f"{place}: {each['msg']}" for place, each in zip(places, mistakes, strict=False)]
    return "; ".join([*named, f"… ({len(mistakes):,} in all)"] if len(mistakes) > FEW else named)
