"""Which job is whose: a table with leases.

Whoever changes more than one row, or what depends on another row, holds `tables.writing`: two workers never take one
job, on SQLite and on Postgres. A lease is renewed by one statement, which changes nothing once another worker has it.

States: queued → running → succeeded | failed; cancelled from queued, or from running by way of cancelling. A job whose
lease has run out is taken over; one that its worker gives back is queued again. Leases compare the clocks of the
workers' machines, which may differ by a few seconds.
"""

import hashlib
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Engine, func, or_, select, update
from sqlalchemy.orm import Session

from fakeprint.service.problems import ServiceError
from fakeprint.service.schemas import FitRequest
from fakeprint.service.settings import Settings
from fakeprint.service.tables import StoredDataset, StoredJob, by_id, now, writing

HELD = ("running", "cancelling")  # states in which a worker has the job
ENDED = ("succeeded", "failed", "cancelled")


def submit(
    engine: Engine, settings: Settings, owner: str | None, sees_all: bool, request: FitRequest, key: str | None = None
) -> StoredJob:
    """Queue a fit. The parameters have been checked.

    Args:
        engine: of the tables.
        settings: of the service.
        owner: the name of the caller's key.
        sees_all: whether the data set may be another's.
        request: what to fit.
        key: `Idempotency-Key`: the job of the first request with it is returned, instead of a new one.

    Raises:
        ServiceError: 404 there is no such data set; 422 the key was used for another request; 429 too many are queued.
    """
    digest = hashlib.sha256(json.dumps(request.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()
    with writing(engine) as session:
        if key is not None:
            known = session.scalar(
                select(StoredJob).where(_same(StoredJob.owner, owner), StoredJob.idempotency_key == key)
            )
            if known is not None and known.request_digest == digest:
                return known
            if known is not None:
                raise ServiceError(422, "this Idempotency-Key was sent with another request; take a new one")
        dataset = by_id(session, StoredDataset, request.dataset)
        if dataset is None or not (sees_all or dataset.owner == owner):
            raise ServiceError(404, "there is no such data set; `GET /datasets` lists yours")
        waiting = session.scalar(select(func.count()).where(StoredJob.state == "queued")) or 0
        if waiting >= settings.max_queued:
            raise ServiceError(429, f"{waiting} jobs are waiting already; try again later", {"Retry-After": "60"})
        job = StoredJob(
            id=uuid.uuid4().hex,
            owner=owner,
            idempotency_key=key,
            request_digest=digest,
            state="queued",
            dataset=request.dataset,
            preset=request.preset,
            parameters=request.parameters,
            title=request.title,
            created=now(),
            attempts=0,
            progress={},
            result={},
        )
        session.add(job)
    return job


def claim(engine: Engine, settings: Settings, worker: str) -> StoredJob | None:
    """Take the oldest job that waits, or whose worker has died; None if there is none.

    A job whose worker has died is cancelled if that was requested, and has failed after `max_attempts`.
    """
    with writing(engine) as session:
        lost = (StoredJob.state.in_(HELD)) & (StoredJob.lease_until < time.time())
        for left in session.scalars(select(StoredJob).where(lost)).all():
            if left.state == "cancelling":
                _end(left, "cancelled")
            elif left.attempts >= settings.max_attempts:
                _end(left, "failed", error=f"its worker ended {left.attempts} times without a result; see the log")
        session.flush()
        ready = or_(StoredJob.state == "queued", lost)
        job = session.scalar(select(StoredJob).where(ready).order_by(StoredJob.created, StoredJob.id).limit(1))
        if job is None:
            return None
        job.state, job.worker, job.attempts = "running", worker, job.attempts + 1
        job.lease_until = time.time() + settings.lease_seconds
        job.started = job.started or now()
        return job


def renew(engine: Engine, settings: Settings, job: StoredJob, progress: Mapping[str, Any] | None = None) -> str | None:
    """Renew the lease on a claimed job, with its progress if that has changed.

    Returns:
        Its state, running or cancelling; None if this worker does not have it any more.
    """
    values: dict[str, Any] = {"lease_until": time.time() + settings.lease_seconds}
    if progress is not None:
        values["progress"] = dict(progress)
    with Session(engine) as session, session.begin():
        changed = update(StoredJob).where(*_of(job)).values(**values).returning(StoredJob.state)
        return session.scalar(changed)


def finish(
    engine: Engine, job: StoredJob, state: str, result: Mapping[str, Any] | None = None, error: str = ""
) -> bool:
    """End a claimed job. result: figures of the champion. error: one line. False if another worker has it by now."""
    values = {
        "state": state,
        "finished": now(),
        "lease_until": None,
        "result": dict(result or {}),
        "error": error or None,
    }
    return _change(engine, job, values)


def give_back(engine: Engine, job: StoredJob) -> bool:
    """Queue a claimed job again, as if it had not been started. A cancelled one is cancelled."""
    values = {"state": "queued", "worker": None, "lease_until": None, "attempts": StoredJob.attempts - 1}
    with Session(engine) as session, session.begin():
        still = session.scalar(
            update(StoredJob).where(*_of(job), StoredJob.state == "running").values(**values).returning(StoredJob.id)
        )
    return still is not None or finish(engine, job, "cancelled")


def cancel(engine: Engine, job_id: str, owner: str | None, sees_all: bool) -> StoredJob:
    """Cancel a job: at once if it waits, through its worker if it runs. One that has ended stays as it is.

    Raises:
        ServiceError: 404.
    """
    with writing(engine) as session:
        job = _found(session, job_id, owner, sees_all)
        if job.state == "queued":
            _end(job, "cancelled")
        elif job.state == "running":
            job.state = "cancelling"
        return job


def find(engine: Engine, job_id: str, owner: str | None, sees_all: bool) -> StoredJob:
    """A job of this owner, or of anybody.

    Raises:
        ServiceError: 404.
    """
    with Session(engine) as session:
        return _found(session, job_id, owner, sees_all)


def page(
    engine: Engine, owner: str | None, sees_all: bool, limit: int, after: str | None
) -> tuple[Sequence[StoredJob], str | None]:
    """Jobs, the latest first, and what to give as `after` for more.

    Raises:
        ServiceError: 404, there is no job `after`.
    """
    query = select(StoredJob).order_by(StoredJob.created.desc(), StoredJob.id.desc()).limit(limit + 1)
    if not sees_all:
        query = query.where(StoredJob.owner == owner)
    with Session(engine) as session:
        if after is not None:
            last = _found(session, after, owner, sees_all)
            same_time = (StoredJob.created == last.created) & (StoredJob.id < last.id)
            query = query.where(or_(StoredJob.created < last.created, same_time))
        jobs = session.scalars(query).all()
    return jobs[:limit], jobs[limit - 1].id if len(jobs) > limit else None


def _of(job: StoredJob) -> tuple[Any, ...]:
    """The row, as long as this worker has it: its attempt tells it from a later one of the same worker."""
    return (
        StoredJob.id == job.id,
        StoredJob.worker == job.worker,
        StoredJob.attempts == job.attempts,
        StoredJob.state.in_(HELD),
    )


def _change(engine: Engine, job: StoredJob, values: Mapping[str, Any]) -> bool:
    with Session(engine) as session, session.begin():
        return session.scalar(update(StoredJob).where(*_of(job)).values(**values).returning(StoredJob.id)) is not None


def _end(job: StoredJob, state: str, error: str | None = None) -> None:
    job.state, job.error, job.finished, job.lease_until = state, error, now(), None


def _same(column: Any, value: str | None) -> Any:
    return column.is_(None) if value is None else column == value


def _found(session: Session, job_id: str, owner: str | None, sees_all: bool) -> StoredJob:
    job = by_id(session, StoredJob, job_id)
    if job is None or not (sees_all or job.owner == owner):
        raise ServiceError(404, "there is no such job; `GET /jobs` lists yours")
    return job
