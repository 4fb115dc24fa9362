"""Make the calls that steps asked for: signed, tried again, and their answers told as facts.

A call is made at least once; its id is the same each time, in ``webhook-id`` as Standard Webhooks
say, so that the other side can tell a repetition.
"""

import asyncio
import base64
import datetime as dt
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog

from chappe.broker import BrokerError
from chappe.clock import Clock
from chappe.events import Event, Flags
from chappe.http import OutboundAnswer, OutboundRefused, OutboundUnreachable
from chappe.ids import EventId, WorkspaceId, derived
from chappe.journey import as_list, as_mapping
from chappe_orchestrator.application.call_ports import (
    Calls,
    Claimed,
    NoticeFailedError,
    Notices,
    Outside,
    Pen,
    Teller,
)
from chappe_orchestrator.domain import Call

AT_ONCE_MAX = 16
LEASE = dt.timedelta(seconds=60)
POLL_SECONDS = 5.0
TIMEOUT_SECONDS = 15.0
ATTEMPTS_MAX = 12
FIRST_PAUSE = dt.timedelta(seconds=5)
LONGEST_PAUSE = dt.timedelta(hours=1)
ANSWER_BYTES_MAX = 64 * 1024
KEPT_BYTES_MAX = 8 * 1024
REASON_LENGTH_MAX = 300
KEEP = dt.timedelta(days=14)
FORGET_EVERY = 500
"""Rounds between two looks for calls that ended long ago."""

AGAIN = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt. ``final``: trying again would not help."""

    ok: bool
    final: bool
    status: int | None = None
    body: Any = None
    error: str | None = None


def signature(secret: bytes, call: str, at: int, body: bytes) -> str:
    """The value of ``webhook-signature``: HMAC-SHA256 over id, Unix time and body."""
    signed = b"%b.%d.%b" % (call.encode(), at, body)
    digest = hmac.new(secret, signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def pause_after(attempt: int) -> dt.timedelta:
    """Five seconds, then four times as long each time, at most an hour."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 4 ** (attempt - 1))


class CallMaker:
    """Works through the table of calls until it is cancelled."""

    def __init__(
        self,
        *,
        calls: Calls,
        outside: Outside,
        notices: Notices,
        pen: Pen,
        teller: Teller,
        secret: Callable[[WorkspaceId], bytes],
        business: Clock,
        wall: Clock,
    ) -> None:
        self._calls = calls
        self._outside = outside
        self._notices = notices
        self._pen = pen
        self._teller = teller
        self._secret = secret
        self._business = business
        self._wall = wall
        self._asked = asyncio.Event()
        self._at_work = False

    def wake(self) -> None:
        """Look now: a step has asked for a call, or the clock moved."""
        self._asked.set()

    async def busy(self) -> bool:
        """Whether calls are under way, or due."""
        due = await self.next_due()
        return self._at_work or (due is not None and due <= self._business.now())

    async def next_due(self) -> dt.datetime | None:
        """When the next call is to be made, or made again."""
        return await self._calls.next_at()

    async def run(self) -> None:
        """For ever."""
        rounds = 0
        while True:
            self._asked.clear()
            while await self.work():
                pass
            rounds += 1
            if rounds % FORGET_EVERY == 1:
                await self._calls.forget(self._business.now() - KEEP)
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._asked.wait()
            except TimeoutError:
                pass

    async def work(self) -> int:
        """Make the calls that are due, at most so many at once; returns how many."""
        now = self._business.now()
        claimed = await self._calls.claim(now, now + LEASE, AT_ONCE_MAX)
        self._at_work = bool(claimed)
        try:
            async with asyncio.TaskGroup() as tasks:
                for one in claimed:
                    tasks.create_task(self._make(one))
        finally:
            self._at_work = False
        return len(claimed)

    async def _make(self, claimed: Claimed) -> None:
        call, now = claimed.call, self._business.now()
        if now > call.deadline:
            outcome = Outcome(ok=False, final=True, error="the deadline has passed")
        else:
            outcome = await self._attempt(call)
        at = self._business.now()
        next_at = at + pause_after(claimed.attempt)
        over = outcome.final or claimed.attempt >= ATTEMPTS_MAX or next_at > call.deadline
        if not outcome.ok and not over:
            await self._calls.again(call.id, next_at, _short(outcome.error))
            return
        try:
            if not call.notice:
                await self._teller.tell(answered(call, outcome, at))
        except BrokerError as error:
            # Without the fact nothing has happened yet: the same call is made once more.
            logger.warning("An answer could not be told", call=call.id, error=str(error))
            await self._calls.again(call.id, next_at, "the log is away")
            return
        reason = None if outcome.ok else _short(outcome.error)
        await self._calls.end(call.id, "done" if outcome.ok else "failed", at, reason)

    async def _attempt(self, call: Call) -> Outcome:
        try:
            if call.email is not None:
                subject = self._filled(call.subject or f"{call.journey}: {call.step}", call)
                text = self._filled(call.text or "", call)
                await self._notices.mail(call.id, call.workspace, call.email, subject, text)
                return Outcome(ok=True, final=True)
            body = self._body(call)
        except ValueError as error:
            return Outcome(ok=False, final=True, error=f"a text cannot be filled in: {error}")
        except NoticeFailedError as error:
            return Outcome(ok=False, final=False, error=str(error))
        return await self._request(call, body)

    async def _request(self, call: Call, body: bytes) -> Outcome:
        at = int(self._wall.now().timestamp())
        headers = {
            **call.headers,
            "content-type": "application/json",
            "webhook-id": call.id,
            "webhook-timestamp": str(at),
            "webhook-signature": signature(self._secret(call.workspace), call.id, at, body),
        }
        try:
            answer = await self._outside.request(
                call.method,
                call.url or "",
                headers=headers,
                content=body if call.method not in ("GET", "DELETE") else None,
                limit_bytes=ANSWER_BYTES_MAX,
                timeout_seconds=TIMEOUT_SECONDS,
            )
        except OutboundRefused as error:
            return Outcome(ok=False, final=True, error=str(error))
        except OutboundUnreachable as error:
            return Outcome(ok=False, final=False, error=str(error))
        return _read(answer)

    def _body(self, call: Call) -> bytes:
        if call.method in ("GET", "DELETE"):
            return b""
        if call.notice:
            said: Any = {"text": self._filled(call.text or "", call)}
        elif call.body is None:
            said = {
                "type": "journey.webhook",
                "timestamp": call.at.isoformat(),
                "data": {"journey": call.journey, "step": call.step, **_values(call)},
            }
        else:
            said = self._filled_in(call.body, call)
        return json.dumps(said, ensure_ascii=False, default=str).encode()

    def _filled_in(self, value: Any, call: Call) -> Any:
        if isinstance(value, str):
            return self._filled(value, call)
        if (items := as_list(value)) is not None:
            return [self._filled_in(one, call) for one in items]
        if (mapping := as_mapping(value)) is not None:
            return {name: self._filled_in(one, call) for name, one in mapping.items()}
        return value

    def _filled(self, text: str, call: Call) -> str:
        return self._pen.fill(text, _values(call))


def answered(call: Call, outcome: Outcome, at: dt.datetime) -> Event:
    """What a server said, as a fact about the contact; said twice it is one."""
    answer = {"status": outcome.status, "ok": outcome.ok, "body": outcome.body}
    if outcome.error is not None:
        answer["error"] = _short(outcome.error)
    return Event(
        id=EventId(derived("e_", call.id, "answered")),
        name="webhook.answered",
        workspace=call.workspace,
        occurred_at=at,
        received_at=at,
        contact=call.contact,
        data={
            "call": call.id,
            "enrollment": call.enrollment,
            "journey": call.journey,
            "step": call.step,
            "answer": answer,
        },
        flags=Flags(),
    )


def _values(call: Call) -> dict[str, Any]:
    shown = call.snapshot
    return {"contact": shown.contact, "event": shown.event, "entry": shown.entry}


def _read(answer: OutboundAnswer) -> Outcome:
    ok = HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES
    final = ok or (
        HTTPStatus.MULTIPLE_CHOICES <= answer.status < HTTPStatus.INTERNAL_SERVER_ERROR
        and answer.status not in AGAIN
    )
    error = None if ok else f"the server answered {answer.status}"
    return Outcome(ok, final, answer.status, _kept(answer), error)


def _kept(answer: OutboundAnswer) -> Any:
    """The answer's body where it is JSON and small, else the beginning of its text."""
    if len(answer.body) <= KEPT_BYTES_MAX and not answer.truncated:
        try:
            return json.loads(answer.body)
        except (ValueError, RecursionError):
            pass
    return answer.body[:KEPT_BYTES_MAX].decode("utf-8", "replace").replace("\x00", "")[:1_000]


def _short(error: str | None) -> str:
    return (error or "")[:REASON_LENGTH_MAX]
