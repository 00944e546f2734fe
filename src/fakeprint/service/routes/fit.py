"""POST /fit: a job that fits models to a data set. GET /fit/options: what it may be given."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from fakeprint.service import datasets, sources
from fakeprint.service.forms import Form, is_multipart, received
from fakeprint.service.jobs import options, store
from fakeprint.service.jobs.answers import as_answer
from fakeprint.service.json_bodies import holds_more
from fakeprint.service.problems import ServiceError, responses
from fakeprint.service.routes.datasets import FIELDS, Fitting, form_body
from fakeprint.service.schemas import FitOptions, FitRequest, Job
from fakeprint.service.settings import Settings
from fakeprint.service.tables import StoredJob

router = APIRouter(tags=["fit"])

LONGEST_JSON = 2**20  # bytes
MOST_PARTS = 20_000  # of the JSON, as `holds_more` counts them; all parameters together have about a thousand
OWN = {"preset", "parameters", "title"}  # fields of a form beside those of the data set
_BODY = form_body(
    FIELDS
    | {
        "preset": {"type": "string", "default": "demo"},
        "parameters": {"type": "string", "description": "as JSON", "examples": ['{"train.epochs": 3}']},
        "title": {"type": "string", "maxLength": 200, "description": "of the data, in reports; by default its name"},
    }
)
_BODY["content"]["application/json"] = {"schema": FitRequest.model_json_schema()}
IdempotencyKey = Annotated[
    str | None,
    Header(
        max_length=255, min_length=1, description="the same key and body again give the same job, and no second one"
    ),
]


@router.post(
    "/fit",
    status_code=202,
    openapi_extra={"requestBody": _BODY},
    responses=responses(401, 403, 404, 413, 415, 422, 429),
)
async def fit(request: Request, response: Response, caller: Fitting, idempotency_key: IdempotencyKey = None) -> Job:
    """Queue a fit. Send JSON that names a data set, or a form with the images and what else the JSON would hold."""
    state = request.app.state
    settings: Settings = state.settings
    if is_multipart(request):
        async with received(request, settings) as form:
            form.require_known(sources.FILES, sources.TEXTS | OWN)
            wanted = await run_in_threadpool(_keep, form, state.engine, settings, caller.owner)
    else:
        wanted = _validated(await _body(request))
        await run_in_threadpool(datasets.find, state.engine, wanted.dataset, caller.owner, caller.sees_all)
        source = await run_in_threadpool(datasets.require_source, settings, wanted.dataset)
        await run_in_threadpool(options.params_text, wanted, source, settings)
    job: StoredJob = await run_in_threadpool(
        store.submit, state.engine, settings, caller.owner, caller.sees_all, wanted, idempotency_key
    )
    response.headers["Location"] = f"/jobs/{job.id}"
    return as_answer(job)


@router.get("/fit/options", responses=responses(401, 403, 422))
def get_options(
    caller: Fitting, preset: Annotated[str, Query(max_length=64, description="whose values are the defaults")] = "demo"
) -> FitOptions:
    """The presets, and the parameters that may be set."""
    return options.options(preset)


def _keep(form: Form, engine: Any, settings: Settings, owner: str | None) -> FitRequest:
    """Check a form's data set and parameters, and keep the data set if both are right."""
    given = {name: value for name in ("preset", "title") if (value := form.text(name)) is not None}
    parameters = form.json("parameters", {})
    prepared = sources.prepare(form, settings)
    wanted = _validated({"dataset": "", "title": prepared.name[:200], "parameters": parameters} | given)
    options.params_text(wanted, prepared.folder, settings)
    row, _ = datasets.keep(engine, settings, owner, prepared)
    return wanted.model_copy(update={"dataset": row.id})


def _validated(content: Any) -> FitRequest:
    try:
        if isinstance(content, bytes):
            return FitRequest.model_validate_json(content)
        return FitRequest.model_validate(content)
    except ValidationError as error:
        raise RequestValidationError(
            error.errors(include_url=False, include_context=False, include_input=False)
        ) from None


async def _body(request: Request) -> bytes:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ServiceError(415, "send application/json or multipart/form-data")
    content = b""
    async for piece in request.stream():
        content += piece
        if len(content) > LONGEST_JSON:
            raise ServiceError(413, f"the JSON is longer than {LONGEST_JSON // 2**10} KiB")
    if holds_more(content, MOST_PARTS):
        raise ServiceError(413, "the JSON has far more keys and values than a fit takes; leave the others out")
    return content
