"""How many of a relay's lanes work at a time, and what makes them fewer."""

import asyncio

import pytest

from chappe_sender.adapters.smtp.gate import TOGETHER_SECONDS, Gate
from chappe_sender.domain.outcome import HandOverError, NotSent, Refused, Reply, Stage

LANES = 8
BUSY = Refused(Stage.MAIL, Reply(421, "4.7.0", "too many connections from you"))


class Watch:
    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


async def allowed(gate: Gate) -> int:
    """How many enter, and leave again."""
    count = 0
    while gate.is_open:
        await gate.enter()
        count += 1
    for _ in range(count):
        gate.leave()
    return count


async def test_all_lanes_work_until_the_relay_pushes_back() -> None:
    watch = Watch()
    gate = Gate("relay", LANES, watch)
    assert await allowed(gate) == LANES
    gate.failed(BUSY)
    assert await allowed(gate) == LANES // 2
    watch.at += TOGETHER_SECONDS
    gate.failed(BUSY)
    assert await allowed(gate) == LANES // 4


async def test_lanes_that_are_pushed_back_together_count_once() -> None:
    gate = Gate("relay", LANES, Watch())
    for _ in range(LANES):
        gate.failed(BUSY)
    assert await allowed(gate) == LANES // 2


async def test_what_goes_well_lets_them_all_back_in_one_by_one() -> None:
    gate = Gate("relay", LANES, Watch())
    gate.failed(BUSY)
    seen: list[int] = []
    for _ in range(50):
        gate.went_well()
        seen.append(await allowed(gate))
    assert seen == sorted(seen)
    assert seen[-1] == LANES


async def test_however_often_it_is_pushed_back_one_lane_goes_on() -> None:
    watch = Watch()
    gate = Gate("relay", LANES, watch)
    for _ in range(20):
        gate.failed(NotSent(Stage.CONNECT, "refused"))
        watch.at += TOGETHER_SECONDS
    assert await allowed(gate) == 1


@pytest.mark.parametrize(
    "about_a_message",
    [
        Refused(Stage.RCPT, Reply(451, "4.2.1", "greylisted")),
        Refused(Stage.RCPT, Reply(550, "5.1.1", "no such user")),
        NotSent(Stage.CONTENT, "the connection was lost"),
    ],
)
async def test_what_is_about_a_message_changes_nothing(about_a_message: HandOverError) -> None:
    gate = Gate("relay", LANES, Watch())
    gate.failed(about_a_message)
    assert await allowed(gate) == LANES


async def test_a_lane_that_waits_goes_on_when_another_leaves() -> None:
    gate = Gate("relay", 1, Watch())
    await gate.enter()
    waiting = asyncio.create_task(gate.enter())
    await asyncio.sleep(0)
    assert not waiting.done()
    gate.leave()
    async with asyncio.timeout(1):
        await waiting


async def test_lanes_stop_announcing_messages_while_there_are_too_many_of_them() -> None:
    gate = Gate("relay", LANES, Watch())
    for _ in range(LANES):
        await gate.enter()
    assert not gate.is_crowded
    gate.failed(BUSY)
    assert gate.is_crowded
