"""The application: settings in, endpoints out."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from fakeprint import __version__
from fakeprint.service import problems
from fakeprint.service.gate import Gate
from fakeprint.service.metrics import Metrics
from fakeprint.service.observing import Observed
from fakeprint.service.openapi import describe_bodies
from fakeprint.service.settings import Settings
from fakeprint.service.tables import connect

# A module of `routes` has a `router`. It may have a `lifespan(app)` too, an asynchronous context that is entered before
# the first request and left after the last one.
ROUTES = ("predict", "models", "datasets", "fit", "jobs", "eda", "operations")


def create_app(settings: Settings) -> FastAPI:
    """Build the API. Nothing is loaded before it starts.

    `app.state` holds `settings`, `engine` and `metrics`; what a lifespan of `routes` adds is named there.

    A request passes, from outside: `Observed` (id, log, metrics, what is unexpected), CORS, `Gate` (size, key, rate).
    """
    modules = [import_module(f"fakeprint.service.routes.{name}") for name in ROUTES]

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.engine = connect(settings)
        async with AsyncExitStack() as stack:
            for module in modules:
                if hasattr(module, "lifespan"):
                    await stack.enter_async_context(module.lifespan(app))
            yield
        app.state.engine.dispose()

    app = FastAPI(title="Fakeprint", version=__version__, description=__doc__, lifespan=lifespan)
    app.state.settings, app.state.metrics = settings, Metrics()
    app.add_middleware(Gate, settings=settings)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "X-API-Key", "Content-Type", "Idempotency-Key", "X-Request-ID"],
            expose_headers=["X-Request-ID", "Retry-After"],
        )
    app.add_middleware(Observed, metrics=app.state.metrics)
    problems.add_handlers(app)
    for module in modules:
        app.include_router(module.router)
    describe_bodies(app)
    return app
