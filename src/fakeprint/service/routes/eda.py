"""GET and POST /eda: the profile of a data set that is kept, or of one that is only looked at."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from fakeprint import __version__, tied_process
from fakeprint.errors import InputError
from fakeprint.files import read_json
from fakeprint.params import Data
from fakeprint.service import datasets, sources
from fakeprint.service.forms import received
from fakeprint.service.jobs import pipeline, work_folder
from fakeprint.service.problems import ServiceError, responses
from fakeprint.service.routes.datasets import FIELDS, Fitting, form_body
from fakeprint.service.schemas import Profile
from fakeprint.service.settings import Settings
from fakeprint.service.tables import StoredDataset
from fakeprint.service.threads import folder_in

router = APIRouter(tags=["fit"])


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """`app.state.profiling`: held while a profile is computed, one at a time, since it takes all cores."""
    app.state.profiling = asyncio.Lock()
    yield


@router.get("/eda", responses=responses(401, 403, 404, 422))
async def get_profile(
    request: Request, dataset: Annotated[str, Query(max_length=64, description="the id of a data set")], caller: Fitting
) -> Profile:
    """The profile of a data set. It is computed once."""
    state = request.app.state
    row = await run_in_threadpool(datasets.find, state.engine, dataset, caller.owner, caller.sees_all)
    source = await run_in_threadpool(datasets.require_source, state.settings, row.id)
    content = await _profile(request.app, source, row.digest)
    return Profile(dataset=row.id, digest=row.digest, **content)


@router.post("/eda", openapi_extra={"requestBody": form_body(FIELDS)}, responses=responses(401, 403, 413, 415, 422))
async def profile_only(request: Request, caller: Fitting) -> Profile:
    """The profile of images or an archive that are not kept. `dataset` is then the name that was sent."""
    settings: Settings = request.app.state.settings
    async with received(request, settings) as form:
        form.require_known(sources.FILES, sources.TEXTS)
        prepared = await run_in_threadpool(sources.prepare, form, settings)
        content = await _profile(request.app, prepared.folder, prepared.digest)
    return Profile(dataset=prepared.name, digest=prepared.digest, **content)


async def _profile(app: FastAPI, source: Path, digest: str) -> dict[str, Any]:
    engine: Engine = app.state.engine
    known = await run_in_threadpool(_cached, engine, digest)
    if known is None:
        async with app.state.profiling:
            known = await run_in_threadpool(_cached, engine, digest)
            if known is None:
                known = await _computed(app.state.settings, source)
                await run_in_threadpool(_keep, engine, digest, known)
    return known


def _cached(engine: Engine, digest: str) -> dict[str, Any] | None:
    """The profile that this version of Fakeprint has computed for any data set with these files."""
    query = select(StoredDataset.profile).where(StoredDataset.digest == digest)
    with Session(engine) as session:
        found = [row for row in session.scalars(query) if row and row["version"] == __version__]
    return found[0]["profile"] if found else None


def _keep(engine: Engine, digest: str, profile: dict[str, Any]) -> None:
    values = {"profile": {"version": __version__, "profile": profile}}
    with Session(engine) as session, session.begin():
        session.execute(update(StoredDataset).where(StoredDataset.digest == digest).values(**values))


async def _computed(settings: Settings, source: Path) -> dict[str, Any]:
    """Run `profiling` in a group of processes of its own, for `eda_seconds` at most.

    Raises:
        InputError: the source cannot be profiled.
        ServiceError: 422, it takes too long.
    """
    max_pixels = min(settings.max_pixels, Data.model_fields["max_pixels"].default)
    async with folder_in(settings.folder / "uploads") as folder:
        target = folder / "profile.json"
        command = [work_folder.PYTHON, tied_process.__file__, "fakeprint.service.profiling", source, max_pixels, target]
        process = await asyncio.create_subprocess_exec(
            *map(str, command),
            env=work_folder.environment(settings) | {"PYTHONPATH": str(pipeline.PACKAGE.parent)},
            stdin=asyncio.subprocess.PIPE,  # closes when this process ends
            stdout=sys.stderr,
            start_new_session=True,
        )
        try:
            status = await asyncio.wait_for(process.wait(), settings.eda_seconds)
        except TimeoutError:
            seconds = f"{settings.eda_seconds:g} s"
            raise ServiceError(422, f"the profile takes longer than {seconds} (FAKEPRINT_EDA_SECONDS)") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        if status or not target.exists():
            raise RuntimeError(f"profiling ended with the status {status}; its error is in the log above")
        content = await run_in_threadpool(read_json, target)
    if "refused" in content:
        raise InputError(content["refused"])
    profile: dict[str, Any] = content["profile"]
    return profile
