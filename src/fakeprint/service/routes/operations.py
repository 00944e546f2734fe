"""GET /health, /ready and /metrics."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from fakeprint import __version__
from fakeprint.service.access import require
from fakeprint.service.metrics import MEDIA_TYPE
from fakeprint.service.schemas import Health, Ready

router = APIRouter(tags=["operations"])


@router.get("/health")
async def health() -> Health:
    """Whether the process answers."""
    return Health(version=__version__)


@router.get("/ready", responses={503: {"model": Ready, "description": "Not ready"}})
async def ready(request: Request, response: Response) -> Ready:
    """Whether predictions can be requested, and with which model.

    `detail` is set, too, where another model serves than the one that was set, because that one cannot be loaded.
    """
    serving = request.app.state.serving
    if serving.opened is None:
        response.status_code = 503
        return Ready(ready=False, detail=serving.problem or "the model is being loaded")
    return Ready(ready=True, model=serving.opened.version, detail=serving.problem)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request, caller: Annotated[str | None, Depends(require("predict"))]) -> Response:
    """Figures for Prometheus."""
    opened = request.app.state.serving.opened
    model = {"name": opened.version.name, "version": opened.version.version} if opened else {"name": "", "version": ""}
    return Response(request.app.state.metrics.text(model), media_type=MEDIA_TYPE)
