"""Brevo, ``smtp/email``: one message per call, under a key that makes a repeat harmless.

The key is a UUID and travels in the body's own ``headers``. Its tracking is switched off in its
settings, not per message. It fills in ``{{…}}`` itself, so braces in our HTML are written as
references.
"""

import datetime as dt
import uuid
from collections.abc import Sequence
from typing import Any

from typing_extensions import override

from chappe.http import OutboundAnswer
from chappe_sender.adapters.providers.base import (
    MESSAGE_TAG,
    Draft,
    JsonAdapter,
    Request,
    Verdict,
    encode,
    name_of,
    own_headers,
    parsed,
    subject_of,
    text_of,
    word,
)
from chappe_sender.domain.addresses import Mailbox
from chappe_sender.domain.outcome import Scope, Taken
from chappe_sender.domain.providers.answers import Answers, proof, unreadable

_KEYS = uuid.UUID("6f2b9d0e-0a4d-4f5c-9a57-6f1a3c1f9c11")
_BAD_REQUEST = 400


class Brevo(JsonAdapter):
    """201 is taken. A repeat of a key is answered ``duplicate_parameter``: the first was taken."""

    path = "/v3/smtp/email"
    answers = Answers(
        (
            proof(400, Scope.ROUTE, "credit|unauthorized|account|permission"),
            proof(400, Scope.MESSAGE),
            proof(401, Scope.ROUTE),
            proof(402, Scope.ROUTE),
            proof(403, Scope.ROUTE),
            proof(404, Scope.ROUTE),
            proof(405, Scope.ROUTE),
            proof(406, Scope.ROUTE),
            proof(413, Scope.MESSAGE),
            proof(429, Scope.RATE),
        )
    )

    @override
    def credentials(self) -> dict[str, str]:
        return {"api-key": self.account.secrets["api_key"]}

    @override
    def payload(self, drafts: Sequence[Draft]) -> Any:
        (draft,) = drafts
        mail = draft.mail
        own = {"X-Mailin-custom": encode({MESSAGE_TAG: draft.message}).decode()}
        payload: dict[str, Any] = {
            "sender": _mailbox(mail.sender),
            "to": [{"email": draft.envelope.recipient}],
            "subject": subject_of(draft),
            "htmlContent": mail.html.replace("{{", "&#123;{").replace("{%", "&#123;%"),
            "textContent": text_of(draft),
            "headers": own_headers(draft) | own,
        }
        if mail.reply_to is not None:
            payload["replyTo"] = _mailbox(mail.reply_to)
        return payload

    @override
    def request(self, drafts: Sequence[Draft], key: str | None, now: dt.datetime) -> Request:
        payload = self.payload(drafts)
        if key is not None:
            payload["headers"]["idempotencyKey"] = str(uuid.uuid5(_KEYS, key))
        return Request(self.account.base_url + self.path, self.headers(), encode(payload))

    @override
    def verdicts(self, answer: OutboundAnswer, drafts: Sequence[Draft]) -> list[Verdict]:
        found = parsed(answer.body)
        if answer.status == _BAD_REQUEST and word(found, "code") == "duplicate_parameter":
            return [Taken(None, "taken before, under the same key")]
        return super().verdicts(answer, drafts)

    @override
    def taken(self, found: Any, answer: OutboundAnswer, drafts: Sequence[Draft]) -> list[Verdict]:
        ident = word(found, "messageId").strip("<> ")
        return [Taken(ident) if ident else unreadable(answer.status)]

    @override
    def error(self, found: Any, answer: OutboundAnswer) -> tuple[str, str]:
        return word(found, "code"), word(found, "message")


def _mailbox(mailbox: Mailbox) -> dict[str, str]:
    shown = {"email": str(mailbox.address)}
    return shown | {"name": name} if (name := name_of(mailbox)) else shown
