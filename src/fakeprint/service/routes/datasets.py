"""POST, GET and DELETE /datasets: images with labels, which fits learn from."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool

from fakeprint.service import datasets, sources
from fakeprint.service.access import Caller, fit_caller
from fakeprint.service.forms import Form, received
from fakeprint.service.problems import responses
from fakeprint.service.schemas import Dataset, Datasets
from fakeprint.service.settings import Settings
from fakeprint.service.tables import StoredDataset

router = APIRouter(tags=["fit"])

Fitting = Annotated[Caller, Depends(fit_caller)]
_FILE = {"type": "string", "contentMediaType": "application/octet-stream"}
_TEXT = {"type": "string"}
FIELDS: dict[str, Any] = {
    "archive": _FILE | {"description": "a .zip, .tar or .tar.gz in any layout of docs/data.md"},
    "files": {"type": "array", "items": _FILE, "description": "or images, a field each"},
    "labels": {"type": "array", "items": _TEXT, "description": "the label of each image, in the same order"},
    "table": _FILE | {"description": "or a CSV with a row per image: image_id and label, and groups or generators"},
    "name": _TEXT | {"maxLength": 255, "description": "shown in lists; by default the archive's"},
    "layout": {"enum": ["csv", "folders"], "description": "of an archive; by default csv if it has a train.csv"},
    "image_column": _TEXT | {"description": "of the CSV; by default image_id"},
    "label_column": _TEXT | {"description": "of the CSV; by default label"},
}


def form_body(fields: dict[str, Any]) -> dict[str, Any]:
    """What OpenAPI says of a body that is read part by part, and not by the framework."""
    return {"content": {"multipart/form-data": {"schema": {"type": "object", "properties": fields}}}, "required": True}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Remove what a crash left before the first request."""
    await run_in_threadpool(datasets.clean_up, app.state.engine, app.state.settings)
    yield


async def kept(request: Request, form: Form, owner: str | None) -> tuple[StoredDataset, bool]:
    """Check the form's data set and keep it; and whether it is new."""
    settings: Settings = request.app.state.settings
    prepared = await run_in_threadpool(sources.prepare, form, settings)
    return await run_in_threadpool(datasets.keep, request.app.state.engine, settings, owner, prepared)


@router.post(
    "/datasets",
    status_code=201,
    openapi_extra={"requestBody": form_body(FIELDS)},
    responses=responses(401, 403, 413, 415, 422) | {200: {"model": Dataset, "description": "It is known already"}},
)
async def send(request: Request, response: Response, caller: Fitting) -> Dataset:
    """Send images with labels, or an archive. The same content sent twice is one data set."""
    async with received(request, request.app.state.settings) as form:
        form.require_known(sources.FILES, sources.TEXTS)
        row, new = await kept(request, form, caller.owner)
    response.status_code = 201 if new else 200
    response.headers["Location"] = f"/datasets/{row.id}"
    return datasets.as_answer(row)


@router.get("/datasets", responses=responses(401, 403))
def list_all(request: Request, caller: Fitting) -> Datasets:
    """The caller's data sets, the latest first."""
    rows = datasets.list_datasets(request.app.state.engine, caller.owner, caller.sees_all)
    return Datasets(datasets=[datasets.as_answer(row) for row in rows])


@router.get("/datasets/{dataset_id}", responses=responses(401, 403, 404))
def get_one(request: Request, dataset_id: str, caller: Fitting) -> Dataset:
    """One data set."""
    return datasets.as_answer(datasets.find(request.app.state.engine, dataset_id, caller.owner, caller.sees_all))


@router.delete("/datasets/{dataset_id}", status_code=204, responses=responses(401, 403, 404, 409))
def remove(request: Request, dataset_id: str, caller: Fitting) -> None:
    """Delete a data set, and everything that holds its images. 409 while a job uses it."""
    state = request.app.state
    datasets.delete(state.engine, state.settings, dataset_id, caller.owner, caller.sees_all)
