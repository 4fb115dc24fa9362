"""Where an outbox row goes."""

from collections.abc import Sequence

from chappe.events import Decision, JournalBatch, contact_key, encode_journal
from chappe.events.streams import JOURNAL, Stream
from chappe.ids import ContactId, WorkspaceId, partition_of
from chappe.shards.records import Out

DECISIONS_PER_RECORD_MAX = 500


def to_contact(
    shard: int,
    stream: Stream,
    workspace: WorkspaceId,
    contact: ContactId,
    body: bytes,
    partitions: int,
) -> Out:
    """A record keyed by contact, on ``events`` or ``sends``."""
    key = contact_key(workspace, contact)
    return Out(shard, stream, partition_of(key, partitions), key, body)


def to_own_contact(
    shard: int, stream: Stream, workspace: WorkspaceId, contact: ContactId, body: bytes
) -> Out:
    """The same for a contact of this very shard: all streams by contact have the same partitions,
    so that the shard's number is the answer.
    """
    return Out(shard, stream, shard, contact_key(workspace, contact), body)


def to_every_partition(
    shard: int, stream: Stream, key: bytes, body: bytes, partitions: int
) -> list[Out]:
    """A command that every shard of the reader must hear."""
    return [Out(shard, stream, partition, key, body) for partition in range(partitions)]


def to_journal(writer: str, shard: int, decisions: Sequence[Decision]) -> list[Out]:
    """A shard's decisions of one batch, packed, on the writer's own partition of ``journal``."""
    key = f"{writer}/{shard}".encode()
    return [
        Out(shard, JOURNAL, shard, key, encode_journal(JournalBatch(writer, shard, tuple(part))))
        for start in range(0, len(decisions), DECISIONS_PER_RECORD_MAX)
        if (part := decisions[start : start + DECISIONS_PER_RECORD_MAX])
    ]
