"""The door's broker while nobody knows yet whose broker it is."""

import asyncio

import pytest

from chappe.broker import BrokerMismatch, BrokerUnavailable, Outgoing
from chappe.broker.memory import MemoryBroker
from chappe.broker.untied import UntiedBroker
from chappe.events import EVENTS

RECORD = Outgoing(0, b"k", b"v")


async def test_nothing_goes_in_before_the_broker_is_known_to_be_ours() -> None:
    answers = asyncio.Event()
    log = MemoryBroker(4)
    broker = UntiedBroker(log, answers.wait)
    with pytest.raises(BrokerUnavailable):
        await broker.append(EVENTS, [RECORD])
    answers.set()
    await broker._task
    await broker.append(EVENTS, [RECORD])
    assert (await log.end_offsets(EVENTS))[0] == 1
    await broker.close()


async def test_a_broker_of_another_installation_stays_shut_and_says_why() -> None:
    looked = asyncio.Event()

    async def tie() -> None:
        looked.set()
        raise BrokerMismatch("these streams are another installation's")

    log = MemoryBroker(4)
    broker = UntiedBroker(log, tie)
    await looked.wait()
    await asyncio.sleep(0)
    with pytest.raises(BrokerMismatch, match="another installation"):
        await broker.append(EVENTS, [RECORD])
    assert (await log.end_offsets(EVENTS))[0] == 0
    await broker.close()
