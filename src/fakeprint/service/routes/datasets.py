"""POST, GET and DELETE /datasets: images with labels, which fits learn from."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi import Path as InPath
from fastapi.concurrency import run_in_threadpool

from fakeprint.service import dataset_images, datasets, sources
from fakeprint.service.access import Caller, fit_caller
from fakeprint.service.forms import Form, received
from fakeprint.service.problems import ServiceError, responses
from fakeprint.service.schemas import Dataset, DatasetImage, DatasetImages, Datasets
from fakeprint.service.settings import MIB, Settings
from fakeprint.service.tables import StoredDataset
from fakeprint.service.threads import finished

router = APIRouter(tags=["fit"])

Fitting = Annotated[Caller, Depends(fit_caller)]
TURN = 5.0  # seconds that a request waits to read a compressed .tar
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
    """Remove what a crash left before the first request.

    `app.state.one_pass`: held while an image is looked for in a compressed .tar, which takes a core.
    """
    app.state.one_pass = asyncio.Lock()
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


@router.get("/datasets/{dataset_id}/images", responses=responses(401, 403, 404, 422))
def list_images(
    request: Request,
    dataset_id: str,
    caller: Fitting,
    split: Annotated[Literal["train", "validation", "test"] | None, Query(description="by default all")] = None,
    first: Annotated[int, Query(ge=0, lt=2**31, description="number of the first image")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="images at most")] = 100,
) -> DatasetImages:
    """The images of a data set, with the labels that it gives them: those of train, validation, then test."""
    folder = _folder(request, dataset_id, caller)
    images, counts = dataset_images.listed(folder, split, first, limit + 1)
    shown = [DatasetImage(**{key: row[key] for key in DatasetImage.model_fields}) for row in images[:limit]]
    return DatasetImages(images=shown, splits=counts, next=images[limit]["number"] if len(images) > limit else None)


@asynccontextmanager
async def _turn(request: Request) -> AsyncIterator[None]:
    """The one pass over a compressed .tar that is made at a time. Raises ServiceError (503) if others take too long."""
    lock: asyncio.Lock = request.app.state.one_pass
    try:
        async with asyncio.timeout(TURN):
            await lock.acquire()
    except TimeoutError:
        detail = "other images are being looked for in compressed .tar archives, one at a time; try again soon"
        raise ServiceError(503, detail, {"Retry-After": "5"}) from None
    try:
        yield
    finally:
        lock.release()


async def _room(request: Request) -> AsyncIterator[Callable[[int], None]]:
    """A dependency: takes memory for a file until it is sent, as bodies of predictions take theirs."""
    with request.app.state.held.one_request() as take:
        yield take


@router.get(
    "/datasets/{dataset_id}/images/{number}",
    response_class=Response,
    responses=responses(401, 403, 404, 422, 503)
    | {200: {"content": {kind: {} for kind in dataset_images.MEDIA_TYPES}, "description": "The file as it was sent"}},
)
async def get_image(
    request: Request,
    dataset_id: str,
    number: Annotated[int, InPath(ge=0, lt=2**31, description="as the list has it")],
    caller: Fitting,
    take: Annotated[Callable[[int], None], Depends(_room)],
) -> Response:
    """The file of one image. Its first bytes say what it is, not its name.

    In a compressed .tar it is looked for from the archive's start, which takes longer the later it comes. That is done
    for one request at a time; another one whose turn does not come within seconds gets 503.
    """
    most = int(request.app.state.settings.max_file_mib * MIB)
    folder = await run_in_threadpool(_folder, request, dataset_id, caller)
    stored = await run_in_threadpool(dataset_images.find, folder, number)
    async with _turn(request) if stored.takes_a_pass else nullcontext():
        take(most)  # not before: requests that wait would hold what predictions need
        content = await finished(stored.read, most)
        take(len(content) - most)
    media_type, suffix = dataset_images.kind_of(content)
    disposition = f'attachment; filename="{number}{suffix}"'
    return Response(content, media_type=media_type, headers={"Content-Disposition": disposition})


def _folder(request: Request, dataset_id: str, caller: Caller) -> Path:
    """The files of one of the caller's data sets."""
    state = request.app.state
    row = datasets.find(state.engine, dataset_id, caller.owner, caller.sees_all)
    return datasets.require_source(state.settings, row.id)


@router.delete("/datasets/{dataset_id}", status_code=204, responses=responses(401, 403, 404, 409))
def remove(request: Request, dataset_id: str, caller: Fitting) -> None:
    """Delete a data set, and everything that holds its images. 409 while a job uses it."""
    state = request.app.state
    datasets.delete(state.engine, state.settings, dataset_id, caller.owner, caller.sees_all)
