"""GNU Mailman's detector, for the formats that nothing of ours can read.

``flufl.bounce`` finds whom a server speaks of, and whether for good; why, the words must say.
"""

import email
import email.policy
from contextlib import suppress
from typing import Final

from flufl.bounce import all_failures  # pyright: ignore[reportUnknownVariableType]

from chappe_sender.domain.bounces.classify import classify
from chappe_sender.domain.bounces.events import Kind, ProviderEvent
from chappe_sender.domain.bounces.letters import Original, address, is_robot, one_line

BYTES_MAX: Final = 256 * 1024
RECIPIENTS_MAX: Final = 20


def events(
    raw: bytes, text: str, original: Original, *, ours: frozenset[str] = frozenset()
) -> list[ProviderEvent]:
    """One event for each address found that is not one of ``ours``. Never raises."""
    temporary: frozenset[bytes] = frozenset()
    permanent: frozenset[bytes] = frozenset()
    with suppress(Exception):  # other people's parsers, on other people's mail
        message = email.message_from_bytes(raw[:BYTES_MAX], policy=email.policy.compat32)
        temporary, permanent = all_failures(message)
    found = [(each, Kind.BOUNCED) for each in sorted(permanent)]
    found += [(each, Kind.DEFERRED) for each in sorted(temporary - permanent)]
    verdict = classify(text, failed=True)
    return [
        ProviderEvent(
            kind=kind,
            recipient=recipient,
            bounce_class=verdict.bounce_class,
            reason=one_line(text),
            permanent=kind is Kind.BOUNCED and verdict.permanent and verdict.sure,
            provider_message_id=original.message_id,
            message=original.message,
        )
        for each, kind in found[:RECIPIENTS_MAX]
        if (recipient := address(each.decode("utf-8", "replace")))
        and not is_robot(recipient)
        and recipient.lower() not in ours
    ]
