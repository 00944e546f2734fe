"""Work in threads that a request waits for to the end, also if it is cancelled meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

from fastapi.concurrency import run_in_threadpool

from fakeprint.files import temporary_folder

T = TypeVar("T")


async def finished(work: Callable[..., T], *arguments: object) -> T:
    """Do work in a thread, and return what it returns.

    A thread cannot be stopped. If the task is cancelled meanwhile, the cancellation goes on only once the work has
    ended, so that nothing that the work uses is given up before.

    Raises:
        Whatever the work raises.
    """
    task = asyncio.ensure_future(run_in_threadpool(work, *arguments))
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return task.result()


@asynccontextmanager
async def folder_in(parent: Path) -> AsyncIterator[Path]:
    """`files.temporary_folder`, made and removed in a thread: with many files that takes seconds."""
    stack = ExitStack()
    try:
        yield await finished(stack.enter_context, temporary_folder(parent))
    finally:
        await finished(stack.close)
