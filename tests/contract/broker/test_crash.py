"""A broker that is killed and comes back: what was acknowledged is there, and in order."""

import asyncio

import pytest

from chappe.broker import BrokerUnavailable
from chappe.events.streams import EVENTS
from tests.contract.broker.load import Follower, Writer, assert_a_relay_would_be_content
from tests.contract.broker.stands import PARTITIONS, Server, embedded_stand, kafka_stand

pytestmark = pytest.mark.contract

PATIENCE = 60.0
BEFORE, AFTER = 300, 100
"""Records per partition that must be acknowledged before the kill, and after the restart."""


async def test_what_was_acknowledged_survives_a_kill_under_load(
    doomed: tuple[str, Server, str],
) -> None:
    kind, server, where = doomed
    stand = kafka_stand(where) if kind == "kafka" else embedded_stand(where, exclusive=False)
    async with stand as log, asyncio.timeout(2 * PATIENCE):
        writers = [Writer(log.broker, partition) for partition in range(PARTITIONS)]
        follower = Follower((await log.another()).reader(EVENTS))
        tasks = [asyncio.create_task(one.run()) for one in (*writers, follower)]
        await asyncio.gather(*(writer.reach(BEFORE) for writer in writers))
        await asyncio.to_thread(server.kill)
        with pytest.raises(BrokerUnavailable):
            await log.broker.ping()
        await asyncio.to_thread(server.start)
        goals = [writer.acknowledged + AFTER for writer in writers]
        await asyncio.gather(*(w.reach(goal) for w, goal in zip(writers, goals, strict=True)))
        for task in tasks[:-1]:
            task.cancel()
        await asyncio.wait(tasks[:-1])
        await log.broker.ping()
        await follower.catch_up(await log.broker.end_offsets(EVENTS))
        tasks[-1].cancel()
        assert any(writer.refused for writer in writers), "the kill hit nobody"
        for partition, writer in enumerate(writers):
            assert_a_relay_would_be_content(follower.seen[partition], writer.acknowledged)
