"""Names for identifiers, and how to make them.

A *derived* id is a hash of what it stands for, so that asking twice is asking once; a
*random* id comes from a ``NewId`` that is passed in, so that a test can choose it.
"""

import functools
import hashlib
import os
from collections.abc import Callable
from typing import NewType, TypeAlias

WorkspaceId = NewType("WorkspaceId", str)
SourceId = NewType("SourceId", str)
ContactId = NewType("ContactId", str)
EventId = NewType("EventId", str)
EnrollmentId = NewType("EnrollmentId", str)
MessageId = NewType("MessageId", str)
StepId = NewType("StepId", str)
Shard: TypeAlias = int

DEFAULT_WORKSPACE = WorkspaceId("default")

ID_BYTES = 16
BLOCK_BYTES = 4_096

REMEMBERED_KEYS = 16_384
"""One contact's records come in runs; murmur2 in Python costs as much as decoding an event."""

NewId: TypeAlias = Callable[[str], str]
"""Makes a fresh id with the prefix it is given: ``new_id("c_")``."""


def derived(prefix: str, *parts: str) -> str:
    """Hash ``parts`` into an id. Parts are length-prefixed, so ("a", "bc") is not ("ab", "c")."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(raw))
        digest.update(raw)
    return prefix + _letters(digest.digest())


def random_id(prefix: str) -> str:
    """128 unguessable bits behind ``prefix``."""
    return prefix + _entropy.take().hex()


class _Entropy:
    """The system's randomness, asked for in blocks: a call for every id costs more than the id."""

    def __init__(self) -> None:
        self._block = b""
        self._at = 0

    def take(self) -> bytes:
        start = self._at
        if start >= len(self._block):
            self._block, start = os.urandom(BLOCK_BYTES), 0
        self._at = start + ID_BYTES
        return self._block[start : self._at]

    def forget(self) -> None:
        self._block = b""


_entropy = _Entropy()
os.register_at_fork(after_in_child=_entropy.forget)  # or both would give out the same ids


def _letters(raw: bytes) -> str:
    """RFC 4648 base 32 in lower case, without padding, of 16 bytes: two letters at a time."""
    number = int.from_bytes(raw, "big") << (10 * len(_SHIFTS) - 8 * ID_BYTES)
    return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])


_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]
_SHIFTS = range(120, -1, -10)


@functools.lru_cache(maxsize=REMEMBERED_KEYS)
def partition_of(key: bytes, partitions: int) -> Shard:
    """Kafka's default partitioner: murmur2 of the key, as the Java client computes it."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """MurmurHash2, 32 bits, seed 0x9747b28c (org.apache.kafka.common.utils.Utils.murmur2)."""
    length = len(data)
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = (0x9747B28C ^ length) & mask
    whole = length & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little")
        k = (k * m) & mask
        k ^= k >> 24
        k = (k * m) & mask
        h = ((h * m) & mask) ^ k
    rest = data[whole:]
    if len(rest) == 3:  # noqa: PLR2004 - the algorithm is written in bytes
        h ^= rest[2] << 16
    if len(rest) >= 2:  # noqa: PLR2004 - likewise
        h ^= rest[1] << 8
    if rest:
        h ^= rest[0]
        h = (h * m) & mask
    h ^= h >> 13
    h = (h * m) & mask
    return h ^ (h >> 15)
