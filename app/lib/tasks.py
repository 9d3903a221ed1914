"""Ending background tasks for certain."""

import asyncio
from typing import Any

AGAIN_SECONDS = 1.0


async def end_tasks(*tasks: "asyncio.Task[Any] | None") -> None:
    """Cancel and wait until all of them have ended; what they raised is dropped.

    Cancelled again and again, because a cancellation can be lost: aio-pika swallows one that comes while it closes a
    channel, and the task would then go on, or wait for ever.
    """
    wanted = [task for task in tasks if task is not None]
    pending = {task for task in wanted if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN_SECONDS)
    for task in wanted:
        # An exception that nobody reads is a complaint of asyncio's later.
        if not task.cancelled():
            task.exception()
