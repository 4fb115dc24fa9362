"""Why: every decision of the orchestrator and the sender, with the values that it saw."""

import datetime as dt
from typing import Any

import msgspec

from chappe.ids import ContactId, EnrollmentId, MessageId, StepId, WorkspaceId


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One decision about one contact.

    ``what`` is the decision in the past tense (``entered``, ``not_entered``, ``waiting``,
    ``branched``, ``asked``, ``skipped``, ``exited``, ``handed_over``, ``cancelled`` …), ``reason``
    a word a program may match on, ``seen`` the values that led to it.
    """

    id: str
    at: dt.datetime
    workspace: WorkspaceId
    contact: ContactId
    what: str
    reason: str | None = None
    journey: str | None = None
    version: int | None = None
    enrollment: EnrollmentId | None = None
    step: StepId | None = None
    message: MessageId | None = None
    event: str | None = None
    seen: dict[str, Any] = {}


class JournalBatch(msgspec.Struct, frozen=True):
    """The decisions of one batch of one shard: one packed record on ``journal``."""

    writer: str
    shard: int
    decisions: tuple[Decision, ...]


_encode = msgspec.json.Encoder(decimal_format="string").encode
_decode = msgspec.json.Decoder(JournalBatch).decode


def encode_journal(batch: JournalBatch) -> bytes:
    return _encode(batch)


def decode_journal(body: bytes | msgspec.Raw) -> JournalBatch:
    return _decode(body)
