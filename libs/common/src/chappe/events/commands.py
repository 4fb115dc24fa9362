"""What the orchestrator asks of the sender, on ``sends`` and ``sends.bulk``, keyed by contact."""

import datetime as dt
from typing import Any, TypeAlias

import msgspec

from chappe.ids import ContactId, EnrollmentId, MessageId, StepId, WorkspaceId


class Snapshot(msgspec.Struct, frozen=True):
    """What a template may show, as it stood when asked for; bounded by the asker."""

    contact: dict[str, Any] = {}
    event: dict[str, Any] = {}
    entry: dict[str, Any] = {}


class QuietTime(msgspec.Struct, frozen=True, kw_only=True):
    """No marketing between these times of ``zone``'s clock, nor on these ``days`` (Monday is 0).

    ``skip``: a message that meets them is dropped; otherwise it waits until they are over.
    """

    zone: str
    begin: dt.time
    end: dt.time
    days: tuple[int, ...] = ()
    skip: bool = False


class Send(msgspec.Struct, frozen=True, kw_only=True, tag="send", tag_field="command"):
    """Ask for one message; asking twice for one ``message`` is asking once.

    ``needs`` are the asking shard's next offsets in ``events`` and ``events.bulk``: the sender
    hands nothing over before its own shard has read that far. ``due_at`` is when the step was due,
    ``deadline`` when the message stops making sense. ``overtakes`` are earlier marketing messages
    of the same enrollment that must not go out after this one is asked. ``quiet`` is looked at on
    every attempt; waiting for its end does not count against the deadline.
    """

    message: MessageId
    workspace: WorkspaceId
    contact: ContactId
    enrollment: EnrollmentId
    journey: str
    version: int
    step: StepId
    template: str
    address: str
    locale: str | None
    asked_at: dt.datetime
    due_at: dt.datetime
    deadline: dt.datetime
    topic: str | None = None
    needs: dict[str, int] = {}
    snapshot: Snapshot = Snapshot()
    overtakes: tuple[MessageId, ...] = ()
    test: bool = False
    quiet: QuietTime | None = None


class Cancel(msgspec.Struct, frozen=True, kw_only=True, tag="cancel", tag_field="command"):
    """Take back one message that has not been handed over; too late is an outcome, not an error."""

    message: MessageId
    workspace: WorkspaceId
    contact: ContactId
    reason: str
    at: dt.datetime


class Hold(msgspec.Struct, frozen=True, kw_only=True, tag="hold", tag_field="command"):
    """Keep a journey's messages back while it is paused. Goes to every partition."""

    workspace: WorkspaceId
    journey: str
    at: dt.datetime


class Release(msgspec.Struct, frozen=True, kw_only=True, tag="release", tag_field="command"):
    """Let a resumed journey's messages go. Goes to every partition."""

    workspace: WorkspaceId
    journey: str
    at: dt.datetime


Command: TypeAlias = Send | Cancel | Hold | Release
