"""One timer for thousands of time limits."""

import asyncio

import pytest

from chappe.deadlines import Deadlines

SHORT = 0.05
LONG = 60.0


async def test_a_block_that_takes_too_long_is_a_timeout() -> None:
    deadlines = Deadlines(SHORT)
    with pytest.raises(TimeoutError), deadlines.limit():
        await asyncio.sleep(LONG)


async def test_a_block_that_ends_in_time_is_left_alone_and_nothing_stays_behind() -> None:
    deadlines = Deadlines(LONG)
    with deadlines.limit():
        await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert not deadlines._running


async def test_the_older_of_two_blocks_runs_out_and_the_younger_goes_on() -> None:
    deadlines = Deadlines(SHORT)
    began = asyncio.Event()

    async def stuck() -> str:
        try:
            with deadlines.limit():
                began.set()
                await asyncio.sleep(LONG)
        except TimeoutError:
            return "ran out"
        return "ended"

    older = asyncio.create_task(stuck())
    await began.wait()
    patient = Deadlines(LONG)
    with patient.limit():
        assert await older == "ran out"


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    deadlines = Deadlines(LONG)

    async def work() -> None:
        with deadlines.limit():
            await asyncio.sleep(LONG)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not deadlines._running


async def test_an_error_of_the_block_is_not_hidden() -> None:
    with pytest.raises(LookupError), Deadlines(LONG).limit():
        raise LookupError


async def test_limits_nest_and_the_shorter_one_speaks() -> None:
    outer, inner = Deadlines(LONG), Deadlines(SHORT)
    with outer.limit():
        with pytest.raises(TimeoutError), inner.limit():
            await asyncio.sleep(LONG)
        await asyncio.sleep(0)
