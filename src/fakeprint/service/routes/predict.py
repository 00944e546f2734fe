"""POST /predict, and what it needs while the API runs: the serving model and the batcher."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from PIL import Image

from fakeprint.service.access import require
from fakeprint.service.answers import Requested, answer, inspection_of
from fakeprint.service.batching import Batcher
from fakeprint.service.problems import ServiceError, responses
from fakeprint.service.schemas import PredictRequest, PredictResponse
from fakeprint.service.serving import Serving
from fakeprint.service.settings import MIB, Settings
from fakeprint.service.uploads import Held, read

router = APIRouter(tags=["predict"])

# 1×1 pixel, grey
EXAMPLE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "format": "binary"},
                            "description": "image files",
                        },
                        "explain": {"type": "boolean", "default": False},
                        "evidence": {"type": "boolean", "default": False},
                    },
                    "additionalProperties": False,
                },
                "encoding": {"files": {"contentType": "image/*"}},
            },
            "application/json": {
                "schema": {"$ref": f"#/components/schemas/{PredictRequest.__name__}"},
                "examples": {
                    "one image": {"value": {"images": [{"name": "a.png", "content": EXAMPLE}], "explain": False}}
                },
            },
        },
    }
}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Load the model, follow changes. `app.state` gets `serving`, `batcher`, `inspection`, `held`."""
    settings: Settings = app.state.settings
    pixels, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max(1, settings.max_pixels // 2)  # Pillow refuses twice it
    metrics = app.state.metrics
    batcher = Batcher(settings.batch_size, settings.batch_wait_ms, settings.queue_images, metrics.note_batch)
    metrics.watch_queue(lambda: batcher.waiting)
    app.state.batcher, app.state.serving = batcher, Serving(settings, app.state.engine)
    app.state.inspection, app.state.held = inspection_of(settings.trust), Held(settings.held_mib * MIB)
    try:
        async with app.state.serving.following():
            yield
    finally:
        await asyncio.to_thread(batcher.close)
        Image.MAX_IMAGE_PIXELS = pixels


@router.post(
    "/predict",
    response_model=PredictResponse,
    openapi_extra=BODY,
    responses=responses(400, 415, 422, 503, 504),
)
async def predict(
    request: Request,
    caller: Annotated[str | None, Depends(require("predict"))],
    explain: Annotated[bool, Query(description="add a map to each answer")] = False,
    evidence: Annotated[bool, Query(description="add what each file declares")] = False,
) -> Response:
    """Say of each image which class it is of, with calibrated probabilities.

    A file that cannot be read gets the reason instead; the others get their answers all the same. `explain` and
    `evidence` can be given in the address or in the body. No image is kept.
    """
    settings: Settings = request.app.state.settings
    try:
        async with asyncio.timeout(settings.request_seconds):
            response = await _answered(request, explain, evidence)
    except TimeoutError:
        raise ServiceError(504, f"no answer within {settings.request_seconds:g} s; send fewer images") from None
    for each in response.images:
        kind = each.answer if each.status == "answered" else each.status
        request.app.state.metrics.images.labels(kind).inc()
    content = response.model_dump_json().encode()
    return Response(content, media_type="application/json")


async def _answered(request: Request, explain: bool, evidence: bool) -> PredictResponse:
    state = request.app.state
    opened = state.serving.ready
    with state.held.one_request() as take:
        with state.batcher.receiving():
            requested = await read(request, state.settings, take)
            requested = Requested(requested.images, requested.explain or explain, requested.evidence or evidence)
            pending = asyncio.ensure_future(answer(requested, opened, state.batcher, state.inspection))
            await asyncio.sleep(0)  # until its images are with the batcher
        try:
            return await pending
        finally:
            pending.cancel()
