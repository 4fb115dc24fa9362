"""The spool's files: append-only segments in a directory that one process holds.

A record is ``length, crc32, body``; a segment is cut at its first record that does not check
(a torn write of a crash, which was never answered). ``cursor`` says how far the oldest segment has
been read; it is written by rename and may lag behind, never ahead.
"""

import fcntl
import os
import struct
import zlib
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import structlog

from chappe.broker import Outgoing
from chappe.events import Stream
from chappe.ids import random_id
from chappe.shards import fault_point
from chappe_ingest.application.spool import Place, Spooled, SpoolFull

SPOOL_BYTES_MAX: Final = 512 * 1024 * 1024
SEGMENT_BYTES_MAX: Final = 16 * 1024 * 1024
SET_ASIDE_BYTES_MAX: Final = 64 * 1024 * 1024
RECORD_BYTES_MAX: Final = 32 * 1024 * 1024
VOLUMES_MAX: Final = 256

_HEAD: Final = struct.Struct(">II")
_Row = tuple[float, str, int, bytes, bytes]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Row).decode

logger = structlog.get_logger(__name__)


def open_volume(directory: Path, *, max_bytes: int = SPOOL_BYTES_MAX) -> "FileVolume":
    """The first volume of ``directory`` that no process holds; records in it are ours to drain.

    Volumes with records come first, so that a restart goes on with what was left. Raises
    ``OSError``.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    names = sorted(each.name for each in directory.glob("volume-*") if each.is_dir())
    left = [name for name in names if _has_records(directory / name)]
    fresh = (f"volume-{number:03}" for number in range(VOLUMES_MAX))
    for name in (*left, *fresh):
        path = directory / name
        path.mkdir(exist_ok=True, mode=0o700)
        lock = _locked(path)
        if lock is not None:
            return FileVolume(path, lock, max_bytes)
    raise OSError(f"{VOLUMES_MAX} spool volumes are all in use in {directory}")


class FileVolume:
    """One process's volume. Not safe for concurrent calls."""

    def __init__(self, path: Path, lock: int, max_bytes: int) -> None:
        self.path = path
        self._lock = lock
        self._max_bytes = max_bytes
        self._segments = deque(_numbers(path))
        self._sizes = {n: _cut_torn_tail(self._segment(n)) for n in self._segments}
        self._cursor = self._read_cursor()
        self._last = max(self._segments, default=self._cursor[0])
        self._file: int | None = None

    @property
    def size(self) -> int:
        return sum(self._sizes.values())

    @property
    def is_full(self) -> bool:
        return self.size + SEGMENT_BYTES_MAX > self._max_bytes

    def waiting(self) -> Counter[Place]:
        return Counter(
            (each.stream, each.record.partition) for each, _, _ in self._from(*self._cursor)
        )

    def write(self, records: Sequence[Spooled]) -> None:
        content = b"".join(map(_packed, records))
        if self.size + len(content) > self._max_bytes:
            raise SpoolFull(f"the spool holds its {self._max_bytes} bytes")
        try:
            file = self._open_segment()
            _write_all(file, content)
            fault_point("spool_written")
            os.fsync(file)
        except OSError as error:
            self._give_up_segment()
            raise SpoolFull(f"the disk does not take it: {error.strerror}") from error
        self._sizes[self._last] += len(content)

    def read(self, max_records: int, max_bytes: int) -> Sequence[Spooled]:
        found: list[Spooled] = []
        size = 0
        for each, _, _ in self._from(*self._cursor):
            size += len(each.record.value)
            if found and size > max_bytes:
                break
            found.append(each)
            if len(found) >= max_records:
                break
        return found

    def advance(self, count: int) -> None:
        for _, segment, end in self._from(*self._cursor):
            if count == 0:
                break
            self._cursor = segment, end
            count -= 1
        self._drop_read()
        self._write_cursor()

    def set_aside(self, record: Spooled, why: str) -> None:
        directory = self.path.parent / "set-aside"
        try:
            directory.mkdir(exist_ok=True, mode=0o700)
            used = sum(each.stat().st_size for each in directory.iterdir())
            content = _packed(record)
            if used + len(content) > SET_ASIDE_BYTES_MAX:
                raise SpoolFull(f"what was set aside holds its {SET_ASIDE_BYTES_MAX} bytes")
            name = random_id("raw_")
            _write_durably(directory / f"{name}.record", content)
            _write_durably(directory / f"{name}.why", why.encode())
            _sync_directory(directory)
        except OSError as error:
            raise SpoolFull(f"the disk does not take it: {error.strerror}") from error

    def orphans(self) -> int:
        others = (each for each in self.path.parent.glob("volume-*") if each != self.path)
        return sum(1 for each in others if _has_records(each) and _is_free(each))

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
        os.close(self._lock)

    def _from(self, segment: int, offset: int) -> Iterator[tuple[Spooled, int, int]]:
        """Records from there on, each with the place behind it."""
        for number in tuple(self._segments):
            if number < segment:
                continue
            start = offset if number == segment else 0
            for record, end in _records(self._segment(number), start, self._sizes[number]):
                yield record, number, end

    def _open_segment(self) -> int:
        full = self._segments and self._sizes[self._last] >= SEGMENT_BYTES_MAX
        if self._file is not None and not full:
            return self._file
        if self._file is not None:
            os.close(self._file)
        self._last += 1
        path = self._segment(self._last)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._segments.append(self._last)
        self._sizes[self._last] = 0
        _sync_directory(self.path)
        return self._file

    def _give_up_segment(self) -> None:
        """After a failed write nobody knows what the file holds: cut it back, use another."""
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            os.ftruncate(file, self._sizes[self._last])
            os.fsync(file)
        except OSError as error:
            logger.warning("A spool segment was left as it is", error=repr(error))
        finally:
            os.close(file)

    def _drop_read(self) -> None:
        """Delete segments that are wholly in the log."""
        while self._segments:
            first = self._segments[0]
            read = self._cursor >= (first, self._sizes[first])
            writing = first == self._last and self._file is not None
            if not read or (writing and self._sizes[first] < SEGMENT_BYTES_MAX // 4):
                return
            if writing and self._file is not None:
                os.close(self._file)
                self._file = None
            self._segments.popleft()
            del self._sizes[first]
            self._segment(first).unlink(missing_ok=True)

    def _segment(self, number: int) -> Path:
        return self.path / f"{number:012}.segment"

    def _read_cursor(self) -> tuple[int, int]:
        first = self._segments[0] if self._segments else 0
        try:
            segment, offset = map(int, (self.path / "cursor").read_text("ascii").split())
        except (OSError, ValueError):
            return first, 0
        if segment < first or offset > self._sizes.get(segment, offset):
            return max(segment, first), 0
        return segment, offset

    def _write_cursor(self) -> None:
        new = self.path / "cursor.new"
        try:
            new.write_text(f"{self._cursor[0]} {self._cursor[1]}", "ascii")
            new.replace(self.path / "cursor")
        except OSError as error:
            logger.warning("The spool's cursor was not written", error=repr(error))


def _packed(each: Spooled) -> bytes:
    row = (each.at, each.stream, each.record.partition, each.record.key, each.record.value)
    body = _encode(row)
    return _HEAD.pack(len(body), zlib.crc32(body)) + body


def _records(path: Path, start: int, end: int) -> Iterator[tuple[Spooled, int]]:
    """The records between two offsets, up to the first that does not check."""
    with path.open("rb") as file:
        file.seek(start)
        at = start
        while at + _HEAD.size <= end:
            length, checksum = _HEAD.unpack(file.read(_HEAD.size))
            at += _HEAD.size + length
            if length > RECORD_BYTES_MAX or at > end:
                return
            body = file.read(length)
            if zlib.crc32(body) != checksum:
                return
            when, stream, partition, key, value = _decode(body)
            yield Spooled(when, Stream(stream), Outgoing(partition, key, value)), at


def read_records(path: Path) -> Iterator[Spooled]:
    """Those of one file that check. Raises ``OSError``."""
    for record, _ in _records(path, 0, path.stat().st_size):
        yield record


def _cut_torn_tail(path: Path) -> int:
    """The size up to which the segment checks; what is behind was never answered."""
    size = path.stat().st_size
    end = 0
    for _, behind in _records(path, 0, size):
        end = behind
    if end < size:
        logger.warning("A torn tail was cut off the spool", segment=path.name, bytes=size - end)
        with path.open("r+b") as file:
            file.truncate(end)
            os.fsync(file.fileno())
    return end


def _numbers(path: Path) -> list[int]:
    return sorted(int(each.stem) for each in path.glob("*.segment") if each.stem.isdigit())


def _has_records(path: Path) -> bool:
    return any(each.stat().st_size for each in path.glob("*.segment")) and not _is_read(path)


def _is_read(path: Path) -> bool:
    """Whether the cursor stands at the end of the last segment."""
    numbers = _numbers(path)
    try:
        segment, offset = map(int, (path / "cursor").read_text("ascii").split())
        return (segment, offset) >= (
            numbers[-1],
            (path / f"{numbers[-1]:012}.segment").stat().st_size,
        )
    except (OSError, ValueError, IndexError):
        return False


def _locked(path: Path) -> int | None:
    file = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        return None
    return file


def _is_free(path: Path) -> bool:
    lock = _locked(path)
    if lock is None:
        return False
    os.close(lock)
    return True


def _write_durably(path: Path, content: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        _write_all(file, content)
        os.fsync(file)
    finally:
        os.close(file)


def _write_all(file: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
