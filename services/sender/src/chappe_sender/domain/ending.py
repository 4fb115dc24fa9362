"""What a hand-over's verdict means for the message: sent, later, never, or nobody knows."""

import datetime as dt
import hashlib
from dataclasses import dataclass, field
from typing import Any

from chappe_sender.domain.message import State
from chappe_sender.domain.outcome import HandOverError, InDoubt, NotSent, Refused, Reply, Stage
from chappe_sender.domain.template import MessageClass

UNREACHABLE_BASE = dt.timedelta(seconds=5)
MARKETING_BASE = dt.timedelta(minutes=5)
TRANSACTIONAL_BASE = dt.timedelta(minutes=1)
RETRY_MAX = dt.timedelta(hours=1)
ATTEMPTS_MAX = 50
DETAIL_LETTERS_MAX = 500

_ABOUT_OUR_ROUTE = frozenset((Stage.CONNECT, Stage.GREETING, Stage.HELLO, Stage.TLS, Stage.AUTH))
_ABOUT_THE_RECIPIENT = frozenset((Stage.RCPT, Stage.DATA, Stage.CONTENT, Stage.VERDICT))
_DEAD_ADDRESS = frozenset(("5.1.1", "5.1.3", "5.1.6", "5.2.1"))
_CLASSES = {
    "5.1.1": "invalid_recipient", "5.1.3": "invalid_recipient", "5.1.6": "inactive_mailbox",
    "5.2.1": "inactive_mailbox", "5.2.2": "mailbox_full", "5.1.2": "bad_domain",
    "5.1.10": "bad_domain", "5.3.4": "too_large", "5.2.3": "too_large",
    "5.7.26": "authentication", "5.7.1": "policy",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Refusal:
    """We decided ourselves not to send, after claiming it: no content, or no address."""

    reason: str
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """The new state, the event to publish (None: nothing to tell yet), the word for the journal.

    ``suppress`` says that the address is dead.
    """

    state: State
    what: str
    event: str | None
    reason: str | None = None
    detail: str | None = None
    next_attempt_at: dt.datetime | None = None
    suppress: bool = False
    data: dict[str, Any] = field(default_factory=dict)


def ending(
    verdict: Reply | HandOverError | Refusal,
    *,
    message: str,
    message_class: MessageClass,
    attempts: int,
    now: dt.datetime,
) -> Ending:
    """Marketing in doubt stays in doubt; transactional goes again, with the same bytes."""
    match verdict:
        case Reply():
            return Ending(
                State.ACCEPTED, "handed_over", "email.accepted", detail=_cut(str(verdict))
            )
        case Refusal(reason=reason, detail=detail):
            return Ending(State.SKIPPED, "skipped", "email.skipped", reason, _cut(detail or ""))
        case InDoubt() if message_class is MessageClass.MARKETING:
            return Ending(
                State.IN_DOUBT, "in_doubt", "email.in_doubt", "no_answer", _cut(str(verdict))
            )
        case Refused(stage=stage, reply=reply) if reply.permanent and stage not in _ABOUT_OUR_ROUTE:
            return _refused(stage, reply)
        case _:
            return _later(verdict, message, message_class, attempts, now)


def _refused(stage: Stage, reply: Reply) -> Ending:
    bounce_class = _CLASSES.get(reply.enhanced or "", "unknown")
    if stage not in _ABOUT_THE_RECIPIENT:
        return Ending(State.FAILED, "failed", "email.failed", "refused", _cut(str(reply)))
    dead = stage is Stage.RCPT and reply.enhanced in _DEAD_ADDRESS
    return Ending(
        State.BOUNCED,
        "bounced",
        "email.bounced",
        bounce_class,
        _cut(str(reply)),
        suppress=dead,
        data={
            "bounce_class": bounce_class,
            "permanent": dead,
            "code": reply.enhanced or reply.code,
        },
    )


def _later(
    error: HandOverError, message: str, message_class: MessageClass, attempts: int, now: dt.datetime
) -> Ending:
    if attempts >= ATTEMPTS_MAX:
        return Ending(State.FAILED, "failed", "email.failed", "attempts", _cut(str(error)))
    if isinstance(error, NotSent) or error.stage in _ABOUT_OUR_ROUTE:
        base, reason = UNREACHABLE_BASE, "unreachable"
    elif message_class is MessageClass.MARKETING:
        base, reason = MARKETING_BASE, "deferred"
    else:
        base, reason = TRANSACTIONAL_BASE, "deferred"
    wait = min(base * 2 ** min(max(attempts - 1, 0), 20), RETRY_MAX)
    return Ending(
        State.SCHEDULED,
        "postponed",
        None,
        reason,
        _cut(str(error)),
        next_attempt_at=now + wait * _jitter(message, attempts),
    )


def _jitter(message: str, attempts: int) -> float:
    """0.85 to 1.15, the same for the same attempt."""
    digest = hashlib.blake2b(f"{message}/{attempts}".encode(), digest_size=2).digest()
    return 0.85 + 0.3 * int.from_bytes(digest) / 65_535


def _cut(text: str) -> str:
    return text[:DETAIL_LETTERS_MAX]
