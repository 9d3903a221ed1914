"""Tasks end, whatever they do with a cancellation."""

import asyncio

from app.lib.tasks import end_tasks


async def test_a_task_that_swallows_a_cancellation_is_ended_all_the_same() -> None:
    swallowed = asyncio.Event()

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed.set()
        await asyncio.Event().wait()

    async def broken() -> None:
        raise ValueError("read by nobody")

    tasks = [asyncio.create_task(stubborn()), asyncio.create_task(broken())]
    await asyncio.sleep(0)
    await end_tasks(*tasks, None)
    assert swallowed.is_set()
    assert all(task.done() for task in tasks)
