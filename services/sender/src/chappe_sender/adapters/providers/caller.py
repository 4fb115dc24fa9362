"""Ask a provider once, and say what its answer or its silence proves."""

import hashlib
from collections.abc import Sequence

from chappe.clock import Clock
from chappe.http import Outbound, OutboundAnswer, OutboundRefused, OutboundUnreachable
from chappe_sender.adapters.providers.base import Adapter, Draft, Verdict
from chappe_sender.domain.outcome import Declined, InDoubt, NotSent, Scope, Stage

ANSWER_SECONDS = 60.0
ANSWER_OCTETS_MAX = 1024 * 1024


async def ask(
    outbound: Outbound,
    adapter: Adapter,
    drafts: Sequence[Draft],
    key: str | None,
    wall: Clock,
    *,
    seconds: float = ANSWER_SECONDS,
) -> OutboundAnswer:
    """The answer of any status. Without one, raises ``NotSent``, ``Declined`` or ``InDoubt``."""
    try:
        request = adapter.request(drafts, key, wall.now())
    except (ValueError, TypeError, KeyError) as error:
        why = f"a request cannot be made of it: {type(error).__name__}"
        raise Declined(Scope.MESSAGE, why) from error
    try:
        answer = await outbound.request(
            "POST",
            request.url,
            headers=request.headers,
            content=request.body,
            limit_bytes=ANSWER_OCTETS_MAX,
            timeout_seconds=seconds,
        )
    except OutboundRefused as error:
        raise NotSent(Stage.CONNECT, str(error)) from None
    except OutboundUnreachable as error:
        kind = InDoubt if error.sent else NotSent
        raise kind(Stage.VERDICT if error.sent else Stage.CONNECT, str(error)) from None
    if answer.truncated:
        raise InDoubt(Stage.VERDICT, f"{answer.status} with an answer without end")
    return answer


def judge(adapter: Adapter, answer: OutboundAnswer, drafts: Sequence[Draft]) -> list[Verdict]:
    """One verdict for each draft. An answer that makes our reading fail proves nothing."""
    try:
        found = adapter.verdicts(answer, drafts)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reading = InDoubt(Stage.VERDICT, f"{answer.status}: cannot be read: {error}")
        return [reading] * len(drafts)
    assert len(found) == len(drafts), "a verdict for each"
    return found


def key_of(adapter: Adapter, drafts: Sequence[Draft]) -> str:
    """Names a request by its content: the same bytes have the same key, other bytes another."""
    digest = hashlib.blake2b(adapter.body(drafts), digest_size=20)
    return f"chappe-{digest.hexdigest()}"


def with_wait(verdict: Verdict, seconds: float | None) -> Verdict:
    """What was refused for the rate, with the time to wait."""
    if (
        isinstance(verdict, Declined)
        and verdict.scope is Scope.RATE
        and verdict.retry_after is None
    ):
        return Declined(verdict.scope, verdict.detail, seconds)
    return verdict
