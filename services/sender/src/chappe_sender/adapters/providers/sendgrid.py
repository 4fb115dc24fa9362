"""Twilio SendGrid, v3 Mail Send: one message per call, its own tracking off."""

from collections.abc import Sequence
from typing import Any

from typing_extensions import override

from chappe.http import OutboundAnswer
from chappe_sender.adapters.providers.base import (
    MESSAGE_TAG,
    Draft,
    JsonAdapter,
    Verdict,
    name_of,
    own_headers,
    subject_of,
    text_of,
    word,
)
from chappe_sender.domain.addresses import Mailbox
from chappe_sender.domain.outcome import Scope, Taken
from chappe_sender.domain.providers.answers import Answers, proof

_OFF = {"enable": False}


class SendGrid(JsonAdapter):
    """All or nothing: 202 is taken, with an id in a header."""

    path = "/v3/mail/send"
    answers = Answers(
        (
            proof(400, Scope.MESSAGE),
            proof(401, Scope.ROUTE),
            proof(403, Scope.ROUTE),
            proof(404, Scope.ROUTE),
            proof(405, Scope.ROUTE),
            proof(406, Scope.ROUTE),
            proof(413, Scope.MESSAGE),
            proof(415, Scope.ROUTE),
            proof(429, Scope.RATE),
        )
    )

    @override
    def credentials(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.account.secrets['api_key']}"}

    @override
    def payload(self, drafts: Sequence[Draft]) -> Any:
        (draft,) = drafts
        payload: dict[str, Any] = {
            "personalizations": [
                {
                    "to": [{"email": draft.envelope.recipient}],
                    "custom_args": {MESSAGE_TAG: draft.message},
                }
            ],
            "from": _mailbox(draft.mail.sender),
            "subject": subject_of(draft),
            "content": [
                {"type": "text/plain", "value": text_of(draft)},
                {"type": "text/html", "value": draft.mail.html},
            ],
            "headers": own_headers(draft) | {"Message-ID": draft.header_id},
            "tracking_settings": {
                "click_tracking": _OFF | {"enable_text": False},
                "open_tracking": _OFF,
                "subscription_tracking": _OFF,
                "ganalytics": _OFF,
            },
        }
        if draft.mail.reply_to is not None:
            payload["reply_to"] = _mailbox(draft.mail.reply_to)
        return payload

    @override
    def taken(self, found: Any, answer: OutboundAnswer, drafts: Sequence[Draft]) -> list[Verdict]:
        return [Taken(answer.headers.get("x-message-id") or None, str(answer.status))]

    @override
    def error(self, found: Any, answer: OutboundAnswer) -> tuple[str, str]:
        return word(found, "errors", 0, "field"), word(found, "errors", 0, "message")


def _mailbox(mailbox: Mailbox) -> dict[str, str]:
    shown = {"email": str(mailbox.address)}
    return shown | {"name": name} if (name := name_of(mailbox)) else shown
