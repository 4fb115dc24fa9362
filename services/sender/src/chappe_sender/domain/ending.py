"""What a hand-over's verdict means for the message: sent, later, never, or nobody knows."""

import datetime as dt
import hashlib
from dataclasses import dataclass, field
from typing import Any

from chappe_sender.domain.bounces import BounceClass, classify
from chappe_sender.domain.message import State
from chappe_sender.domain.outcome import (
    Declined,
    HandOverError,
    InDoubt,
    NotSent,
    Refused,
    Reply,
    Scope,
    Stage,
    Taken,
)
from chappe_sender.domain.template import MessageClass

UNREACHABLE_BASE = dt.timedelta(seconds=5)
MARKETING_BASE = dt.timedelta(minutes=5)
TRANSACTIONAL_BASE = dt.timedelta(minutes=1)
RETRY_MAX = dt.timedelta(hours=1)
ATTEMPTS_MAX = 50
DETAIL_LETTERS_MAX = 500

_ABOUT_OUR_ROUTE = frozenset((Stage.CONNECT, Stage.GREETING, Stage.HELLO, Stage.TLS, Stage.AUTH))
_ABOUT_THE_RECIPIENT = frozenset((Stage.RCPT, Stage.DATA, Stage.CONTENT, Stage.VERDICT))
_NAMES_THE_RECIPIENT = frozenset((Stage.RCPT, Stage.VERDICT))
"""One recipient a transaction: what is refused after the dot may be about the address too."""
RATE_WAIT = dt.timedelta(seconds=10)
"""When a provider that is asked too often does not say how long to wait."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """We decided ourselves not to send, after claiming it: no content, or no address."""

    reason: str
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """The new state, the event to publish (None: nothing to tell yet), the word for the journal.

    ``suppress`` says that the address is dead; ``tried`` False that this was no attempt: it was
    put off, and does not count against the message.
    """

    state: State
    what: str
    event: str | None
    reason: str | None = None
    detail: str | None = None
    next_attempt_at: dt.datetime | None = None
    suppress: bool = False
    tried: bool = True
    data: dict[str, Any] = field(default_factory=dict)


def ending(
    verdict: Reply | Taken | HandOverError | Refusal,
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
        case Taken(provider_id=ident):
            known = {"provider_message_id": ident} if ident else {}
            said = _cut(str(verdict))
            return Ending(State.ACCEPTED, "handed_over", "email.accepted", detail=said, data=known)
        case Declined():
            return _declined(verdict, message, message_class, attempts, now)
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


def _declined(
    declined: Declined, message: str, message_class: MessageClass, attempts: int, now: dt.datetime
) -> Ending:
    """A provider surely did not take it. What it says of the address is its own list's; only what
    a receiver says makes an address dead.
    """
    said = _cut(declined.detail)
    match declined.scope:
        case Scope.RATE:
            told = declined.retry_after
            wait = dt.timedelta(seconds=told) if told is not None else RATE_WAIT
            later = now + wait * _jitter(message, attempts)
            return Ending(State.SCHEDULED, "postponed", None, "throttled", said, later, tried=False)
        case Scope.MESSAGE:
            return Ending(State.FAILED, "failed", "email.failed", "refused", said)
        case Scope.RECIPIENT:
            why = classify(declined.detail).bounce_class.value
            data = {"bounce_class": why, "permanent": False}
            return Ending(State.FAILED, "rejected", "email.rejected", why, said, data=data)
        case Scope.ROUTE | Scope.LOAD:
            return _later(declined, message, message_class, attempts, now)


def _refused(stage: Stage, reply: Reply) -> Ending:
    if stage not in _ABOUT_THE_RECIPIENT:
        return Ending(State.FAILED, "failed", "email.failed", "refused", _cut(str(reply)))
    found = classify(f"{reply.code} {reply.enhanced or ''} {reply.text}")
    bounce_class = found.bounce_class.value
    # A domain is dead when it was twice, a day apart; that is judged where bounces are counted.
    dead = (
        stage in _NAMES_THE_RECIPIENT
        and found.permanent
        and found.sure
        and found.bounce_class is not BounceClass.BAD_DOMAIN
    )
    return Ending(
        State.BOUNCED,
        "bounced",
        "email.bounced",
        bounce_class,
        _cut(str(reply)),
        suppress=dead,
        data={
            "bounce_class": bounce_class,
            "permanent": found.permanent and found.sure,
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
    elif isinstance(error, Declined):
        base, reason = UNREACHABLE_BASE, "provider_refuses"
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
