"""Kafka behind a bad network: connections cut in the middle of appends, packets swallowed."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from chappe.broker import Broker, BrokerUnavailable, Outgoing
from chappe.events.streams import EVENTS
from chappe.testing import kafka as kafka_server
from tests.contract.broker.conftest import own_kafka
from tests.contract.broker.load import Follower, Writer, assert_a_relay_would_be_content
from tests.contract.broker.proxy import HOST, proxy
from tests.contract.broker.stands import PARTITIONS, kafka_stand

pytestmark = [pytest.mark.contract, pytest.mark.kafka]

PATIENCE = 60.0
CUTS = 15
ADVERTISED = "advertised.listeners=CLIENT://{host}:{port}"


@dataclass(frozen=True)
class Ports:
    """The broker listens at ``target`` and tells its clients to come to ``port``."""

    port: int
    target: int


@pytest.fixture(scope="module")
def ports() -> Iterator[Ports]:
    port = kafka_server.free_port()
    assert ADVERTISED in kafka_server.PROPERTIES
    with pytest.MonkeyPatch.context() as patch:
        behind = kafka_server.PROPERTIES.replace(
            ADVERTISED, ADVERTISED.replace("{port}", str(port))
        )
        patch.setattr(kafka_server, "PROPERTIES", behind)
        with own_kafka() as server:
            yield Ports(port, server.port)


async def test_cut_connections_lose_nothing_and_keep_the_order(ports: Ports) -> None:
    async with (
        proxy(ports.port, ports.target) as network,
        kafka_stand(f"{HOST}:{ports.port}") as log,
        asyncio.timeout(PATIENCE),
    ):
        writers = [Writer(log.broker, partition) for partition in range(PARTITIONS)]
        follower = Follower((await log.another()).reader(EVENTS))
        tasks = [asyncio.create_task(one.run()) for one in (*writers, follower)]
        for _ in range(CUTS):
            goals = [writer.acknowledged + 15 for writer in writers]
            await asyncio.gather(*(w.reach(goal) for w, goal in zip(writers, goals, strict=True)))
            network.cut()
        goals = [writer.acknowledged + 15 for writer in writers]
        await asyncio.gather(*(w.reach(goal) for w, goal in zip(writers, goals, strict=True)))
        for task in tasks[:-1]:
            task.cancel()
        await asyncio.wait(tasks[:-1])
        await follower.catch_up(await log.broker.end_offsets(EVENTS))
        tasks[-1].cancel()
        for partition, writer in enumerate(writers):
            assert_a_relay_would_be_content(follower.seen[partition], writer.acknowledged)


async def test_a_network_that_swallows_everything_is_an_error_and_heals(ports: Ports) -> None:
    async with (
        proxy(ports.port, ports.target) as network,
        kafka_stand(f"{HOST}:{ports.port}") as log,
        asyncio.timeout(PATIENCE),
    ):
        await log.broker.append(EVENTS, [Outgoing(0, b"k", b"0")])
        network.hold()
        answers = await asyncio.gather(
            log.broker.append(EVENTS, [Outgoing(0, b"k", b"1")]),
            log.broker.append(EVENTS, [Outgoing(1, b"k", b"1")]),
            log.broker.ping(),
            return_exceptions=True,
        )
        assert [type(answer) for answer in answers] == [BrokerUnavailable] * 3
        network.release()
        await until_it_takes(log.broker, Outgoing(0, b"k", b"2"))
        reader = log.broker.reader(EVENTS)
        await reader.assign({0: 0})
        values: list[bytes] = []
        while b"2" not in values:
            values += [record.value for record in (await reader.read(10, 1.0)).get(0, [])]
        assert list(dict.fromkeys(values)) == sorted(set(values)), "order is kept"


async def test_a_producer_that_broke_is_replaced(ports: Ports) -> None:
    async with (
        proxy(ports.port, ports.target),
        kafka_stand(f"{HOST}:{ports.port}") as log,
    ):
        await log.broker.append(EVENTS, [Outgoing(0, b"k", b"0")])
        broken = log.broker._appender._producer
        assert broken is not None
        await broken.stop()
        with pytest.raises(BrokerUnavailable):
            await log.broker.append(EVENTS, [Outgoing(0, b"k", b"1")])
        await log.broker.append(EVENTS, [Outgoing(0, b"k", b"2")])
        assert (await log.broker.end_offsets(EVENTS))[0] == 2


async def until_it_takes(broker: Broker, record: Outgoing) -> None:
    while True:
        try:
            await broker.append(EVENTS, [record])
        except BrokerUnavailable:
            continue
        return
