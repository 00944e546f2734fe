"""GET /health."""

from fastapi import APIRouter

from fakeprint import __version__
from fakeprint.service.schemas import Health

router = APIRouter(tags=["operations"])


@router.get("/health")
def health() -> Health:
    """Whether the process answers."""
    return Health(version=__version__)
