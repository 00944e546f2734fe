"""GET and DELETE /jobs: how fits go on, and cancelling them."""

import asyncio
import codecs
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import PlainTextResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from fakeprint.service.jobs import store
from fakeprint.service.jobs.answers import as_answer
from fakeprint.service.jobs.results import log_of_job
from fakeprint.service.problems import ServiceError, responses
from fakeprint.service.routes.datasets import Fitting
from fakeprint.service.schemas import Job, Jobs
from fakeprint.service.tables import StoredJob

router = APIRouter(tags=["fit"])

POLL = 0.5  # seconds between two looks at a job that is followed
LONGEST_PIECE = 2**20  # bytes of a log in one answer


def _found(request: Request, job_id: str, caller: Fitting) -> StoredJob:
    return store.find(request.app.state.engine, job_id, caller.owner, caller.sees_all)


Found = Annotated[StoredJob, Depends(_found)]


@router.get("/jobs", responses=responses(401, 403, 404, 422))
def list_all(
    request: Request,
    caller: Fitting,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[str | None, Query(max_length=32, description="`next` of the page before")] = None,
) -> Jobs:
    """The caller's jobs, the latest first."""
    rows, rest = store.page(request.app.state.engine, caller.owner, caller.sees_all, limit, after)
    return Jobs(jobs=[as_answer(row) for row in rows], next=rest)


@router.get("/jobs/{job_id}", responses=responses(401, 403, 404))
def get_one(job: Found) -> Job:
    """One job."""
    return as_answer(job)


@router.delete(
    "/jobs/{job_id}",
    responses=responses(401, 403, 404) | {202: {"model": Job, "description": "Its worker ends it within seconds"}},
)
def cancel(request: Request, response: Response, job_id: str, caller: Fitting) -> Job:
    """Cancel a job: 200 once it has ended, 202 while its worker ends it."""
    job = store.cancel(request.app.state.engine, job_id, caller.owner, caller.sees_all)
    response.status_code = 202 if job.state == "cancelling" else 200
    return as_answer(job)


@router.get(
    "/jobs/{job_id}/log",
    response_class=PlainTextResponse,
    responses=responses(401, 403, 404, 422) | {200: {"description": "Up to 1 MiB; X-Next-Offset says where to go on"}},
)
def get_log(
    request: Request,
    job: Found,
    offset: Annotated[int | None, Query(ge=0, lt=2**63, description="the first byte; 0: from the start")] = None,
    tail: Annotated[int | None, Query(ge=1, le=10_000, description="instead: so many of the last lines")] = None,
) -> Response:
    """What the job's pipeline has printed so far."""
    if offset is not None and tail is not None:
        raise ServiceError(422, "give either offset or tail")
    log = log_of_job(request.app.state.settings, job.id)
    text, end = _read_log(log, offset or 0, tail, job.state in store.ENDED)
    headers = {"X-Next-Offset": str(end), "X-Content-Type-Options": "nosniff"}
    return PlainTextResponse(text, headers=headers)


def _read_log(log: Path, offset: int, tail: int | None, is_whole: bool) -> tuple[str, int]:
    """The requested part, and the offset after it.

    A character whose bytes are not all there is left for the next part. is_whole: nothing more will be written, so that
    such a character at the end of the log will never be complete.
    """
    if not log.exists():
        return "", 0
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        begin = file.seek(max(0, size - LONGEST_PIECE) if tail else min(offset, size))
        content = file.read(LONGEST_PIECE)
        end = file.tell()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    if tail:
        # the first bytes may be the rest of a character, which `lstrip` removes
        whole = content if begin == 0 else content.lstrip(bytes(range(0x80, 0xC0)))
        content = b"".join(whole.splitlines(keepends=True)[-tail:])
    text = decoder.decode(content, final=is_whole and end >= size)
    return text, end - len(decoder.getstate()[0])


@router.get("/jobs/{job_id}/events", response_class=EventSourceResponse, responses=responses(401, 403, 404))
async def follow(
    request: Request,
    job: Found,
    last_event_id: Annotated[str | None, Header(max_length=64, description="of the last event received")] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Follow a job: an event `job` with each change, and `end` with the last, after which the stream ends."""
    seen = last_event_id
    while True:
        answer = as_answer(job)
        mark = hashlib.sha256(answer.model_dump_json().encode()).hexdigest()[:16]
        ended = job.state in store.ENDED
        if mark != seen or ended:
            yield ServerSentEvent(data=answer, event="end" if ended else "job", id=mark)
            seen = mark
        if ended:
            return
        await asyncio.sleep(POLL)
        try:
            job = await run_in_threadpool(store.find, request.app.state.engine, job.id, None, True)
        except ServiceError:
            return
