"""What every log promises, whatever it is made of."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chappe.broker import (
    Broker,
    OffsetOutOfRange,
    Outgoing,
    Reader,
    Record,
    RecordTooLarge,
)
from chappe.broker.limits import MAX_RECORD_BYTES
from chappe.events.streams import EVENTS, SENDS
from tests.contract.broker.stands import PARTITIONS, Stand

pytestmark = pytest.mark.contract

PATIENCE = 20.0
"""Seconds until a test that waits for records gives up."""

A_MOMENT = 0.3
FROM_THE_START = dict.fromkeys(range(PARTITIONS), 0)


def numbered(partition: int, numbers: Sequence[int]) -> list[Outgoing]:
    return [Outgoing(partition, b"k", b"%d" % number) for number in numbers]


def values(records: Sequence[Record]) -> list[int]:
    return [int(record.value) for record in records]


async def read_until(reader: Reader, count: int, at_once: int = 500) -> dict[int, list[Record]]:
    """Read until ``count`` records came, and no more are waiting."""
    found: dict[int, list[Record]] = {}
    async with asyncio.timeout(PATIENCE):
        while sum(map(len, found.values())) < count:
            merge(found, await reader.read(at_once, 1.0))
    merge(found, await reader.read(at_once, 0.0))
    assert sum(map(len, found.values())) == count
    return found


def merge(into: dict[int, list[Record]], more: Mapping[int, Sequence[Record]]) -> None:
    for partition, records in more.items():
        into.setdefault(partition, []).extend(records)


async def assigned(broker: Broker, offsets: Mapping[int, int]) -> Reader:
    reader = broker.reader(EVENTS)
    await reader.assign(offsets)
    return reader


async def test_records_of_a_key_come_in_the_order_of_their_appends(log: Stand) -> None:
    for start in range(0, 60, 20):
        await log.broker.append(
            EVENTS,
            [
                Outgoing(number % PARTITIONS, b"key-%d" % (number % PARTITIONS), b"%d" % number)
                for number in range(start, start + 20)
            ],
        )
    reader = await assigned(await log.another(), FROM_THE_START)
    found = await read_until(reader, 60)
    for partition in range(PARTITIONS):
        assert values(found[partition]) == list(range(partition, 60, PARTITIONS))
        assert {record.key for record in found[partition]} == {b"key-%d" % partition}
        offsets = [record.offset for record in found[partition]]
        assert offsets == sorted(set(offsets))


async def test_everything_acknowledged_is_below_the_end(log: Stand) -> None:
    assert await log.broker.end_offsets(EVENTS) == FROM_THE_START
    await log.broker.append(EVENTS, numbered(1, range(3)))
    ends = await (await log.another()).end_offsets(EVENTS)
    reader = await assigned(log.broker, FROM_THE_START)
    found = await read_until(reader, 3)
    assert ends == {**FROM_THE_START, 1: found[1][-1].offset + 1}
    assert await log.broker.start_offsets(EVENTS) == FROM_THE_START


async def test_an_acknowledged_record_survives_the_process_that_appended_it(log: Stand) -> None:
    command = log.appender()
    if command is None:
        pytest.skip("the log in memory dies with its process")
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for number in range(8):
        process.stdin.write(b"%d\n" % number)
        assert await process.stdout.readline() == b"%d\n" % number
    process.send_signal(signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL
    found = await read_until(await assigned(log.broker, FROM_THE_START), 8)
    assert {partition: values(records) for partition, records in found.items()} == {
        partition: [partition, partition + PARTITIONS] for partition in range(PARTITIONS)
    }


async def test_an_append_that_is_repeated_is_there_twice_and_in_order(log: Stand) -> None:
    for _ in range(2):
        await log.broker.append(EVENTS, numbered(0, [1, 2]))
    found = await read_until(await assigned(log.broker, {0: 0}), 4)
    assert values(found[0]) == [1, 2, 1, 2]


async def test_streams_do_not_mix(log: Stand) -> None:
    await log.broker.append(EVENTS, numbered(0, [1]))
    await log.broker.append(SENDS, numbered(0, [2]))
    assert values((await read_until(await assigned(log.broker, {0: 0}), 1))[0]) == [1]


async def test_reading_begins_exactly_where_it_is_assigned(log: Stand) -> None:
    await log.broker.append(EVENTS, numbered(0, range(10)))
    whole = (await read_until(await assigned(log.broker, {0: 0}), 10))[0]
    broker = await log.another()
    reader = await assigned(broker, {0: whole[4].offset})
    assert values((await read_until(reader, 6))[0]) == [4, 5, 6, 7, 8, 9]
    end = (await broker.end_offsets(EVENTS))[0]
    await reader.assign({0: end})
    assert await reader.read(10, A_MOMENT) == {}
    await log.broker.append(EVENTS, numbered(0, [10]))
    assert values((await read_until(reader, 1))[0]) == [10]


async def test_only_what_is_assigned_is_read(log: Stand) -> None:
    reader = await assigned(log.broker, {1: 0, 2: 0})
    await log.broker.append(EVENTS, [Outgoing(p, b"k", b"%d" % p) for p in range(PARTITIONS)])
    found = await read_until(reader, 2)
    assert {partition: values(records) for partition, records in found.items()} == {1: [1], 2: [2]}
    await reader.assign({})
    assert await reader.read(10, 0.0) == {}


async def test_an_offset_beyond_the_end_stops_the_reader(log: Stand) -> None:
    await log.broker.append(EVENTS, numbered(0, range(3)))
    end = (await log.broker.end_offsets(EVENTS))[0]
    reader = await assigned(await log.another(), {0: end + 1, 1: 0})
    for _ in range(2):
        with pytest.raises(OffsetOutOfRange):
            await drained(reader)
    await reader.assign({0: 0, 1: 0})
    assert values((await read_until(reader, 3))[0]) == [0, 1, 2]


async def test_an_offset_before_what_is_kept_stops_the_reader(log: Stand) -> None:
    await log.broker.append(EVENTS, numbered(0, range(3)))
    end = (await log.broker.end_offsets(EVENTS))[0]
    await log.broker.publish_position("all", EVENTS, {**FROM_THE_START, 0: end})
    await log.broker.trim(EVENTS, keep_seconds=-60)
    assert (await log.broker.start_offsets(EVENTS))[0] == end
    reader = await assigned(await log.another(), {0: 0})
    with pytest.raises(OffsetOutOfRange):
        await drained(reader)
    await reader.assign({0: end})
    assert await reader.read(10, A_MOMENT) == {}


async def drained(reader: Reader) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            await reader.read(10, 1.0)


async def test_a_new_assignment_forgets_what_was_fetched_before(log: Stand) -> None:
    await log.broker.append(EVENTS, numbered(0, range(200)) + numbered(1, range(200)))
    reader = await assigned(await log.another(), {0: 0, 1: 0})
    assert await reader.read(5, PATIENCE)
    await reader.assign({1: 150})
    found = await read_until(reader, 50)
    assert found.keys() == {1}
    assert values(found[1]) == list(range(150, 200))


async def test_a_cancelled_read_loses_nothing_after_a_new_assignment(log: Stand) -> None:
    reader = await assigned(log.broker, {0: 0})
    for number in range(5):
        reading = asyncio.create_task(reader.read(10, PATIENCE))
        await log.broker.append(EVENTS, numbered(0, [number]))
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading
        await reader.assign({0: 0})
    assert values((await read_until(reader, 5))[0]) == [0, 1, 2, 3, 4]


async def test_a_reader_that_waits_is_woken_by_an_append_elsewhere(log: Stand) -> None:
    reader = await assigned(log.broker, FROM_THE_START)
    reading = asyncio.create_task(reader.read(10, PATIENCE))
    await asyncio.sleep(A_MOMENT)
    await (await log.another()).append(EVENTS, numbered(3, [7]))
    assert values((await reading)[3]) == [7]


async def test_at_most_what_was_asked_for_is_read_and_every_partition_gets_its_turn(
    log: Stand,
) -> None:
    for partition in range(PARTITIONS):
        await log.broker.append(EVENTS, numbered(partition, range(50)))
    reader = await assigned(await log.another(), FROM_THE_START)
    seen: dict[int, list[Record]] = {}
    async with asyncio.timeout(PATIENCE):
        while sum(map(len, seen.values())) < 50 * PARTITIONS:
            found = await reader.read(3, 1.0)
            assert sum(map(len, found.values())) <= 3
            merge(seen, found)
    for partition in range(PARTITIONS):
        assert values(seen[partition]) == list(range(50))


async def test_a_record_of_a_megabyte_comes_through_whole(log: Stand) -> None:
    big = os.urandom(1024 * 1024)
    await log.broker.append(EVENTS, [Outgoing(0, b"k", b"before"), Outgoing(0, b"big", big)])
    await log.broker.append(EVENTS, [Outgoing(0, b"k", b"after")])
    found = await read_until(await assigned(await log.another(), {0: 0}), 3)
    assert [record.value for record in found[0]] == [b"before", big, b"after"]


async def test_the_biggest_record_fits_and_a_bigger_one_leaves_nothing_behind(log: Stand) -> None:
    with pytest.raises(RecordTooLarge):
        await log.broker.append(
            EVENTS, [Outgoing(0, b"k", b"1"), Outgoing(0, b"", bytes(MAX_RECORD_BYTES + 1))]
        )
    assert await log.broker.end_offsets(EVENTS) == FROM_THE_START
    await log.broker.append(EVENTS, [Outgoing(0, b"", os.urandom(MAX_RECORD_BYTES))])
    found = await read_until(await assigned(await log.another(), {0: 0}), 1)
    assert len(found[0][0].value) == MAX_RECORD_BYTES


async def test_a_partition_that_does_not_exist_is_a_programming_error(log: Stand) -> None:
    with pytest.raises(ValueError, match="4 partitions"):
        await log.broker.append(EVENTS, [Outgoing(PARTITIONS, b"k", b"1")])


async def test_a_slow_reader_gets_everything_in_the_end(log: Stand) -> None:
    """More than any buffer holds is appended while it reads little by little."""
    records, size, per_append = 3_000, 10_000, 100
    filler = os.urandom(size)
    reader = await assigned(log.broker, {0: 0})

    async def append() -> None:
        for start in range(0, records, per_append):
            await log.broker.append(
                EVENTS,
                [Outgoing(0, b"%d" % n, filler) for n in range(start, start + per_append)],
            )

    appending = asyncio.create_task(append())
    found = await read_until(reader, records, at_once=60)
    await appending
    assert [int(record.key) for record in found[0]] == list(range(records))


async def test_a_burst_larger_than_a_statement_or_a_batch_keeps_its_order(log: Stand) -> None:
    await log.broker.append(EVENTS, numbered(0, range(3_500)))
    found = await read_until(await assigned(await log.another(), {0: 0}), 3_500)
    assert values(found[0]) == list(range(3_500))


async def test_retention_never_drops_what_somebody_has_not_read(log: Stand) -> None:
    await log.broker.append(EVENTS, numbered(0, range(10)) + numbered(1, range(10)))
    first = {0: 0, 1: 0}
    await log.broker.trim(EVENTS, keep_seconds=-60)
    assert await starts(log) == first, "nobody has published a position"
    await log.broker.publish_position("quick", EVENTS, {**FROM_THE_START, 0: 10, 1: 10})
    await log.broker.publish_position("slow", EVENTS, {0: 4})
    await log.broker.trim(EVENTS, keep_seconds=3_600)
    assert await starts(log) == first, "all of it is young"
    await log.broker.trim(EVENTS, keep_seconds=-60)
    assert await starts(log) == {0: 4, 1: 0}, "the slow one has said nothing about partition 1"
    reader = await assigned(await log.another(), {0: 4, 1: 0})
    found = await read_until(reader, 16)
    assert values(found[0]) == [4, 5, 6, 7, 8, 9]
    await log.broker.publish_position("slow", EVENTS, {0: 10, 1: 10})
    await log.broker.trim(EVENTS, keep_seconds=-60)
    assert await starts(log) == {0: 10, 1: 10}
    await log.broker.append(EVENTS, numbered(0, [10]))
    assert (await log.broker.end_offsets(EVENTS))[0] == 11


async def starts(log: Stand) -> dict[int, int]:
    offsets = await log.broker.start_offsets(EVENTS)
    return {partition: offsets[partition] for partition in (0, 1)}


async def test_the_log_answers_a_ping(log: Stand) -> None:
    await log.broker.ping()


appends = st.lists(st.lists(st.integers(0, PARTITIONS - 1), min_size=1, max_size=5), max_size=6)


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(plan=st.lists(appends, min_size=2, max_size=4), at_once=st.integers(1, 20))
async def test_appenders_at_the_same_time_never_hide_a_record_from_a_reader(
    log: Stand, plan: Any, at_once: int
) -> None:
    """A reader follows the end while several append; a second one reads all of it afterwards."""
    before = await log.broker.end_offsets(EVENTS)
    reader = await assigned(await log.another(), before)
    total = sum(len(batch) for batches in plan for batch in batches)
    following = asyncio.create_task(read_until(reader, total, at_once))

    async def append(who: int, batches: Sequence[Sequence[int]]) -> None:
        broker = log.broker if who == 0 else await log.another()
        number = 0
        for batch in batches:
            records: list[Outgoing] = []
            for partition in batch:
                records.append(Outgoing(partition, b"%d" % who, b"%d" % number))
                number += 1
            await broker.append(EVENTS, records)

    async with asyncio.TaskGroup() as group:
        for who, batches in enumerate(plan):
            group.create_task(append(who, batches))
    followed = await following
    afterwards = await read_until(await assigned(await log.another(), before), total)
    assert followed == afterwards
    for records in followed.values():
        for who in range(len(plan)):
            mine = values([record for record in records if record.key == b"%d" % who])
            assert mine == sorted(mine)
