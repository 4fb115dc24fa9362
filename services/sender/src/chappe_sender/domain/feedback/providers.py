"""The eight providers by name, how each wants to be answered, and one delivery tried out."""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from chappe_sender.domain.bounces import ProviderEvent, printed, try_bounce
from chappe_sender.domain.feedback import (
    brevo,
    mailgun,
    mailjet,
    postmark,
    resend,
    sendgrid,
    ses,
    sparkpost,
)
from chappe_sender.domain.feedback.reading import parse
from chappe_sender.domain.feedback.signatures import Headers, Verdict

Verify: TypeAlias = Callable[[bytes, Headers, str | None, dt.datetime | None], Verdict]
Read: TypeAlias = Callable[[bytes, Headers], list[ProviderEvent]]

ACCEPTED: Final = 200
REFUSED: Final = 401


@dataclass(frozen=True, slots=True)
class Provider:
    """``verify(body, headers, secret, now)`` and ``read(body, headers)`` never raise.

    ``now`` None: age is not looked at. ``busy`` is the answer that makes it try again later.
    """

    kind: str
    verify: Verify
    read: Read
    busy: int = 503


PROVIDERS: Final[Mapping[str, Provider]] = MappingProxyType(
    {
        "ses": Provider("ses", ses.verify, ses.read),
        "sendgrid": Provider("sendgrid", sendgrid.verify, sendgrid.read),
        "mailgun": Provider("mailgun", mailgun.verify, mailgun.read),
        "postmark": Provider("postmark", postmark.verify, postmark.read),
        "mailjet": Provider("mailjet", mailjet.verify, mailjet.read),
        "brevo": Provider("brevo", brevo.verify, brevo.read, busy=429),
        "resend": Provider("resend", resend.verify, resend.read),
        "sparkpost": Provider("sparkpost", sparkpost.verify, sparkpost.read),
    }
)
KINDS: Final = tuple(PROVIDERS)

BY_MAIL: Final = ("smtp", "direct")
"""Ways out that have no webhooks: what comes back is a mail."""


def answer(provider: Provider, verdict: Verdict, *, stored: bool = True) -> int:
    """The status to answer with: what is genuine and stored is done, readable or not.

    Never 403 (Postmark stops for good) nor 406 (Mailgun does): a wrong secret can be put right.
    Not ``stored`` gives what the provider retries on; Brevo throws away whatever got a 5xx.
    """
    if not verdict.verified:
        return REFUSED
    return ACCEPTED if stored else provider.busy


def try_provider(
    kind: str, body: bytes, headers: Mapping[str, str], secret: str | None
) -> dict[str, Any]:
    """What one delivery is and says: ``{"verified", "reason", "answer", "events", "warnings"}``.

    Events come whether verified or not. Nothing is stored. A kept delivery is old, so its age is
    not looked at. Raises ``ValueError`` on an unknown kind.
    """
    if kind in BY_MAIL:
        return {**try_bounce(body), "answer": ACCEPTED, "warnings": []}
    provider = PROVIDERS.get(kind)
    if provider is None:
        known = ", ".join((*BY_MAIL, *KINDS))
        raise ValueError(f"no provider of the kind {kind}; those that exist are {known}")
    given = [(name.lower(), value) for name, value in headers.items()]
    verdict = provider.verify(body, given, secret, None)
    events = provider.read(body, given)
    warnings = [] if events or parse(body) is not None else ["the body is not JSON"]
    return {
        "verified": verdict.verified,
        "reason": verdict.reason,
        "answer": answer(provider, verdict) if secret else ACCEPTED,
        "events": [printed(event) for event in events],
        "warnings": warnings,
    }
