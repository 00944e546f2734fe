"""The application: settings in, endpoints out."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module

from fastapi import FastAPI

from fakeprint import __version__
from fakeprint.service import problems
from fakeprint.service.settings import Settings
from fakeprint.service.tables import connect

# A module of `routes` has a `router`. It may have a `lifespan(app)` too, an asynchronous context that is entered before
# the first request and left after the last one.
ROUTES = ("operations", "datasets", "fit", "jobs", "eda")


def create_app(settings: Settings) -> FastAPI:
    """Build the API. Nothing is loaded before it starts.

    `app.state` holds `settings` and `engine`; what a lifespan of `routes` adds is named there.
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
    app.state.settings = settings
    problems.add_handlers(app)
    for module in modules:
        app.include_router(module.router)
    return app
