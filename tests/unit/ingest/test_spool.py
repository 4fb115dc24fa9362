import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from typing_extensions import override

from chappe.broker import Outgoing, RecordTooLarge
from chappe.broker.memory import MemoryBroker
from chappe.clock import HandClock
from chappe.events import Stream
from chappe.events.streams import RAW_COMMERCE, RAW_ENGAGEMENT
from chappe_ingest.adapters import spool as files
from chappe_ingest.adapters.spool import FileVolume, open_volume
from chappe_ingest.application import inlet
from chappe_ingest.application.spool import Spool, Spooled, SpoolFull
from tests.unit.ingest.door import Answer, Door
from tests.unit.ingest.shop import NOW, checkout, signature

PARTITIONS = 4


def record(number: int, partition: int = 0, size: int = 0) -> Outgoing:
    return Outgoing(partition, b"k", b'{"body":%d}' % number + b" " * size)


def spooled(*numbers: int, partition: int = 0) -> list[Spooled]:
    return [Spooled(1.0, RAW_COMMERCE, record(n, partition)) for n in numbers]


def crashed(volume: FileVolume) -> FileVolume:
    """The same directory, opened by the next process."""
    volume.close()
    return open_volume(volume.path.parent)


# -- the files ----------------------------------------------------------------------------------


def test_what_was_written_is_read_in_order(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    volume.write(spooled(1, 2))
    volume.write(spooled(3))
    assert volume.read(10, 10_000) == spooled(1, 2, 3)
    assert volume.read(2, 10_000) == spooled(1, 2)
    assert volume.read(10, 1) == spooled(1)


def test_what_waited_survives_the_process_and_what_was_drained_does_not_come_back(
    tmp_path: Path,
) -> None:
    volume = open_volume(tmp_path)
    volume.write(spooled(1, 2, 3))
    volume.advance(2)
    volume = crashed(volume)
    assert volume.read(10, 10_000) == spooled(3)
    assert volume.waiting() == {(RAW_COMMERCE, 0): 1}
    volume.write(spooled(4))
    volume.advance(1)
    assert crashed(volume).read(10, 10_000) == spooled(4)


def test_a_lost_cursor_repeats_and_loses_nothing(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    volume.write(spooled(1, 2))
    volume.advance(1)
    (volume.path / "cursor").write_text("nonsense")
    assert crashed(volume).read(10, 10_000) == spooled(1, 2)


@pytest.mark.parametrize("torn", [b"\0", b"\0\0\0\x20\0\0\0\0half", b"\xff" * 40])
def test_a_torn_tail_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    volume = open_volume(tmp_path)
    volume.write(spooled(1, 2))
    (segment,) = volume.path.glob("*.segment")
    with segment.open("ab") as file:
        file.write(torn)
    volume = crashed(volume)
    assert volume.read(10, 10_000) == spooled(1, 2)
    volume.write(spooled(3))
    assert crashed(volume).read(10, 10_000) == spooled(1, 2, 3)


@pytest.mark.parametrize("lost", [1, 5, 30])
def test_a_half_written_record_is_cut_off(tmp_path: Path, lost: int) -> None:
    volume = open_volume(tmp_path)
    volume.write(spooled(1, 2))
    (segment,) = volume.path.glob("*.segment")
    segment.write_bytes(segment.read_bytes()[:-lost])
    assert crashed(volume).read(10, 10_000) == spooled(1)


def test_a_full_spool_says_so_and_keeps_what_it_has(tmp_path: Path) -> None:
    volume = open_volume(tmp_path, max_bytes=200)
    volume.write(spooled(1))
    with pytest.raises(SpoolFull):
        volume.write([Spooled(1.0, RAW_COMMERCE, record(2, size=300))])
    assert volume.read(10, 10_000) == spooled(1)


def test_a_failing_disk_is_a_full_spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = open_volume(tmp_path)
    volume.write(spooled(1))

    def broken(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(files.os, "fsync", broken)
        with pytest.raises(SpoolFull, match="No space left"):
            volume.write(spooled(2))
    volume.write(spooled(3))
    assert volume.read(10, 10_000) == spooled(1, 3)
    assert crashed(volume).read(10, 10_000) == spooled(1, 3)


def test_drained_segments_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SEGMENT_BYTES_MAX", 100)
    volume = open_volume(tmp_path)
    for number in range(50):
        volume.write(spooled(number))
    assert len(list(volume.path.glob("*.segment"))) > 10
    volume.advance(49)
    assert volume.read(10, 10_000) == spooled(49)
    assert len(list(volume.path.glob("*.segment"))) == 1


def test_each_process_has_a_volume_and_what_is_left_is_taken_first(tmp_path: Path) -> None:
    first, second = open_volume(tmp_path), open_volume(tmp_path)
    assert first.path != second.path
    second.write(spooled(1))
    assert first.orphans() == 0
    second.close()
    assert first.orphans() == 1
    first.close()
    third = open_volume(tmp_path)
    assert third.path == second.path
    assert third.orphans() == 0


# -- the spool ----------------------------------------------------------------------------------


class Log(MemoryBroker):
    """Refuses what is longer than ``longest``."""

    longest = 1_000_000

    @override
    async def append(self, stream: Stream, records: Sequence[Outgoing]) -> None:
        if any(len(each.value) > self.longest for each in records):
            raise RecordTooLarge("too long for this log")
        await super().append(stream, records)

    def values(self, stream: Stream = RAW_COMMERCE, partition: int = 0) -> list[bytes]:
        return [each.value for each in self.log(stream, partition).slice(0, 10_000)]


async def drained(spool: Spool) -> None:
    async with asyncio.timeout(10):
        while spool.depth:
            await asyncio.sleep(0.01)


async def test_records_wait_while_the_log_is_away_and_go_on_in_order(tmp_path: Path) -> None:
    log = Log(PARTITIONS)
    log.away = True
    spool = Spool(open_volume(tmp_path), log, HandClock(NOW))
    spool.start()
    for number in range(20):
        await spool.put(RAW_COMMERCE, [record(number)])
    await spool.put(RAW_ENGAGEMENT, [record(99, 1)])
    assert spool.holds(RAW_COMMERCE, 0)
    assert not spool.holds(RAW_COMMERCE, 1)
    assert spool.depth == 21
    log.away = False
    await drained(spool)
    assert log.values() == [record(number).value for number in range(20)]
    assert log.values(RAW_ENGAGEMENT, 1) == [record(99).value]
    assert not spool.holds(RAW_COMMERCE, 0)
    await spool.stop(1)


async def test_many_share_an_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(PARTITIONS)
    log.away = True
    volume = open_volume(tmp_path)
    writes: list[int] = []
    write = volume.write

    def counted(records: Sequence[Spooled]) -> None:
        writes.append(len(records))
        write(records)

    monkeypatch.setattr(volume, "write", counted)
    spool = Spool(volume, log, HandClock(NOW))
    spool.start()
    await asyncio.gather(*(spool.put(RAW_COMMERCE, [record(n)]) for n in range(100)))
    assert sum(writes) == 100
    assert len(writes) <= 3
    await spool.stop(0)


async def test_what_a_stopped_process_left_is_drained_by_the_next(tmp_path: Path) -> None:
    log = Log(PARTITIONS)
    log.away = True
    spool = Spool(open_volume(tmp_path), log, HandClock(NOW))
    spool.start()
    await spool.put(RAW_COMMERCE, [record(1)])
    await spool.stop(0.01)
    log.away = False
    again = Spool(open_volume(tmp_path), log, HandClock(NOW))
    assert again.holds(RAW_COMMERCE, 0)
    again.start()
    await drained(again)
    assert log.values() == [record(1).value]
    await again.stop(1)


async def test_a_full_spool_refuses_the_big_one_alone(tmp_path: Path) -> None:
    log = Log(PARTITIONS)
    log.away = True
    spool = Spool(open_volume(tmp_path, max_bytes=1_000), log, HandClock(NOW))
    spool.start()
    big = spool.put(RAW_COMMERCE, [record(2, size=2_000)])
    found = await asyncio.gather(
        spool.put(RAW_COMMERCE, [record(1)]),
        big,
        spool.put(RAW_COMMERCE, [record(3)]),
        return_exceptions=True,
    )
    assert [type(each) for each in found] == [type(None), SpoolFull, type(None)]
    assert spool.depth == 2
    await spool.stop(0)


async def test_what_the_log_never_takes_is_set_aside_and_blocks_nothing(tmp_path: Path) -> None:
    log = Log(PARTITIONS)
    log.away = True
    log.longest = 100
    spool = Spool(open_volume(tmp_path), log, HandClock(NOW))
    spool.start()
    for each in (record(1), record(2, size=500), record(3)):
        await spool.put(RAW_COMMERCE, [each])
    log.away = False

    await drained(spool)
    assert log.values() == [record(1).value, record(3).value]
    assert len(list((tmp_path / "set-aside").glob("*.record"))) == 1
    await spool.stop(1)


# -- the door ------------------------------------------------------------------------------------

IN = "/in/src_shopify"


async def post(door: Door, number: int) -> Answer:
    body = json.dumps(checkout("t1", updated_at=f"2026-11-22T08:00:{number:02}Z")).encode()
    headers = {"X-Shopify-Topic": "checkouts/update", "X-Shopify-Hmac-Sha256": signature(body)}
    return await door.post(IN, body, headers)


async def test_a_webhook_is_answered_200_while_the_log_is_away_and_arrives_in_order(
    tmp_path: Path,
) -> None:
    door = Door()
    spool = door.with_spool(open_volume(tmp_path))
    assert (await post(door, 1)).status == 200
    door.broker.away = True
    for number in (2, 3, 4):
        assert (await post(door, number)).status == 200
    door.broker.away = False
    assert (await post(door, 5)).status == 200
    await drained(spool)
    assert (await post(door, 6)).status == 200
    assert [raw.id for raw in door.raws()] == [f"raw_{n}" for n in range(1, 7)]
    in_log = [msgspec.json.decode(body)["id"] for _, _, body in door.stored()]
    assert in_log == [f"raw_{n}" for n in range(1, 7)]
    await spool.stop(1)


async def test_while_a_partition_waits_in_the_spool_everything_for_it_goes_behind(
    tmp_path: Path,
) -> None:
    door = Door()
    volume = open_volume(tmp_path)
    at, _, _ = await _stored_place(door)
    volume.write([Spooled(1.0, RAW_COMMERCE, record(1, at))])
    spool = door.with_spool(volume)
    before = len(door.stored())
    door.broker.away = True
    assert (await post(door, 2)).status == 200
    assert spool.depth == 2
    door.broker.away = False
    await drained(spool)
    assert len(door.stored()) == before + 2
    await spool.stop(1)


async def _stored_place(door: Door) -> tuple[int, bytes, bytes]:
    await post(door, 1)
    return door.stored()[0]


async def test_a_slow_log_costs_a_sender_a_second_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inlet, "SPOOL_AFTER_SECONDS", 0.05)
    door = Door()
    spool = door.with_spool(open_volume(tmp_path))

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    with monkeypatch.context() as patched:
        patched.setattr(door.broker, "append", never)
        assert (await post(door, 1)).status == 200
        assert spool.depth == 1
    door.broker.away = False
    await spool.stop(0)


async def test_a_full_spool_asks_the_sender_to_come_again(tmp_path: Path) -> None:
    door = Door()
    spool = door.with_spool(open_volume(tmp_path, max_bytes=100))
    door.broker.away = True
    answer = await post(door, 1)
    assert answer.status == 503
    assert answer.headers["retry-after"] == "5"
    await spool.stop(0)
