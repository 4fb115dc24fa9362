"""The bounds that keep a broker's memory and its log files small."""

import asyncio
import logging

import pytest

from chappe.broker import Outgoing, Record
from chappe.broker.kafka_connection import RateLimit
from chappe.broker.known import RECORD_OVERHEAD_BYTES, Known
from chappe.broker.limits import Room, chunks
from chappe.events.streams import EVENTS, SENDS


async def test_who_finds_no_room_waits_in_line() -> None:
    room = Room(max_records=10, max_bytes=100)
    await room.enter(8, 10)
    second = asyncio.create_task(room.enter(5, 10))
    third = asyncio.create_task(room.enter(1, 10))
    await asyncio.sleep(0)
    assert not second.done()
    assert not third.done(), "nobody overtakes"
    room.leave(8, 10)
    await asyncio.gather(second, third)


async def test_who_gives_up_leaves_the_line() -> None:
    room = Room(max_records=10, max_bytes=100)
    await room.enter(10, 10)
    patient, impatient = (asyncio.create_task(room.enter(n, 10)) for n in (10, 1))
    await asyncio.sleep(0)
    patient.cancel()
    await asyncio.wait([patient])
    room.leave(10, 10)
    await impatient
    last = asyncio.create_task(room.enter(10, 10))
    await asyncio.sleep(0)
    assert not last.done()
    room.leave(1, 10)
    await last


async def test_what_is_bigger_than_the_room_enters_when_it_is_empty() -> None:
    room = Room(max_records=1, max_bytes=1)
    await room.enter(5, 500)
    other = asyncio.create_task(room.enter(1, 1))
    await asyncio.sleep(0)
    assert not other.done()
    room.leave(5, 500)
    await other


@pytest.mark.parametrize(
    ("sizes", "cut"),
    [
        ([], []),
        ([1, 1, 1, 1], [3, 1]),
        ([5, 5, 5], [2, 1]),
        ([50, 1, 1], [1, 2]),
        ([1, 50, 1], [1, 1, 1]),
    ],
)
def test_an_append_is_cut_by_count_and_by_size(sizes: list[int], cut: list[int]) -> None:
    records = [Outgoing(0, b"", bytes(size)) for size in sizes]
    parts = list(chunks(records, max_records=3, max_bytes=10))
    assert [len(part) for part, _ in parts] == cut
    assert [record for part, _ in parts for record in part] == records
    assert sum(size for _, size in parts) == sum(sizes)


def test_the_remembered_tail_forgets_the_oldest_first() -> None:
    known = Known(tail_bytes_max=3 * (RECORD_OVERHEAD_BYTES + 11))
    known.keep(EVENTS, 0, 5, [Outgoing(0, b"k", b"0123456789")] * 2)
    known.keep(SENDS, 0, 9, [Outgoing(0, b"k", b"0123456789")] * 2)
    assert known.tail(EVENTS, 0, 5, 10) == []
    assert known.tail(EVENTS, 0, 6, 10) == [Record(6, b"k", b"0123456789")]
    assert [record.offset for record in known.tail(SENDS, 0, 9, 10)] == [9, 10]
    assert [record.offset for record in known.tail(SENDS, 0, 9, 1)] == [9]


def test_a_gap_in_the_remembered_tail_ends_it() -> None:
    """Another process appended in between: what it wrote has to be asked for."""
    known = Known()
    known.keep(EVENTS, 0, 0, [Outgoing(0, b"k", b"0")])
    known.keep(EVENTS, 0, 2, [Outgoing(0, b"k", b"2")])
    assert [record.offset for record in known.tail(EVENTS, 0, 0, 10)] == [0]


def test_an_end_never_goes_back() -> None:
    known = Known()
    moved = asyncio.Event()
    known.watch(EVENTS, moved)
    known.learn(EVENTS, {0: 5})
    assert moved.is_set()
    moved.clear()
    known.learn(EVENTS, {0: 3})
    assert known.end(EVENTS, 0) == 5
    assert not moved.is_set()


def test_a_client_that_repeats_itself_is_heard_once_in_ten_seconds() -> None:
    now = 0.0
    limit = RateLimit(lambda: now)

    def say(message: str) -> str | None:
        record = logging.LogRecord("aiokafka", logging.ERROR, "f", 1, message, (1,), None)
        return record.getMessage() if limit(record) else None

    assert say("no node %d") == "no node 1"
    assert say("no node %d") is None
    assert say("no topic %d") == "no topic 1"
    now = 11.0
    assert say("no node %d") == "no node 1 (1 more like it left out)"
