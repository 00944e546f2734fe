"""GET /models and POST /set."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request

from fakeprint.service.access import require
from fakeprint.service.listing import Registry, known
from fakeprint.service.opened import Reference, find
from fakeprint.service.problems import ServiceError, responses
from fakeprint.service.schemas import Models, Serving, SetRequest
from fakeprint.service.settings import Settings
from fakeprint.tracking.registry import Unreachable, resolve

router = APIRouter(tags=["models"])


@router.get("/models")
async def models(request: Request, caller: Annotated[str | None, Depends(require("predict"))]) -> Models:
    """All models that can serve: those of the models folder, those that come with Fakeprint, those of the registry.

    Keys with the scope `admin` see the latest models of jobs too. The model that answers is always there: as it was
    loaded, where its files have changed since. A registry that does not answer is named in `note`.
    """
    state = request.app.state
    if not hasattr(state, "registry"):
        state.registry = Registry(state.settings.mlflow_uri)
    registered, note = await state.registry.listed()
    opened = state.serving.opened
    found = await asyncio.to_thread(known, state.settings, opened, registered, request.state.sees_all)
    return Models(models=found, revision=await state.serving.latest_revision(), note=note)


@router.post("/set", responses=responses(400, 409, 422, 503))
async def set_model(
    body: SetRequest, request: Request, caller: Annotated[str | None, Depends(require("admin"))]
) -> Serving:
    """Choose the model that serves, in all replicas.

    It is loaded and answers once before it takes over; requests that have begun keep the model that they began with.
    With `expected_revision`, as `GET /models` says it, two callers cannot overwrite each other.
    """
    reference = await asyncio.to_thread(_reference, body, request.app.state.settings)
    try:
        opened, revision = await request.app.state.serving.set(reference, body.expected_revision)
    except Unreachable as error:
        raise ServiceError(503, str(error), {"Retry-After": "10"}) from None
    return Serving(model=opened.version, revision=revision)


def _reference(body: SetRequest, settings: Settings) -> Reference:
    if body.source != "registry":
        if body.version is not None or body.alias is not None:
            raise ServiceError(422, "version and alias are for source: registry; leave them out")
        return find(body.name, body.source, settings)
    if body.version is not None and body.alias is not None:
        raise ServiceError(422, "give a version or an alias, not both")
    try:
        return Reference("registry", body.name, resolve(settings.mlflow_uri, body.name, body.version, body.alias))
    except Unreachable as error:
        raise ServiceError(503, str(error), {"Retry-After": "10"}) from None
