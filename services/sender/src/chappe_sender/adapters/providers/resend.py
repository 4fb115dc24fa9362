"""Resend: batches under an idempotency key of 24 hours, so that a lost answer can be asked again.

Two requests a second and team unless raised, which is why it must be given batches.
"""

import datetime as dt
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
    at,
    items,
    own_headers,
    subject_of,
    text_of,
    word,
)
from chappe_sender.domain.headers import encode_mailbox
from chappe_sender.domain.outcome import Declined, Scope, Taken
from chappe_sender.domain.providers.answers import Answers, proof, shortened, unreadable


class Resend(JsonAdapter):
    """Up to 100 a call. 409 proves nothing: the key was seen before, or is being worked on."""

    path = "/emails"
    answers = Answers(
        (
            proof(400, Scope.MESSAGE),
            proof(401, Scope.ROUTE),
            proof(403, Scope.ROUTE),
            proof(404, Scope.ROUTE),
            proof(405, Scope.ROUTE),
            proof(413, Scope.MESSAGE),
            proof(422, Scope.MESSAGE),
            proof(429, Scope.ROUTE, "quota"),
            proof(429, Scope.RATE),
            proof(451, Scope.MESSAGE),
        )
    )

    @override
    def credentials(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.account.secrets['api_key']}"}

    @override
    def payload(self, drafts: Sequence[Draft]) -> Any:
        messages = [_message(draft) for draft in drafts]
        return messages[0] if len(messages) == 1 else messages

    @override
    def request(self, drafts: Sequence[Draft], key: str | None, now: dt.datetime) -> Request:
        headers = self.headers()
        if key is not None:
            headers["Idempotency-Key"] = key
        path = self.path
        if len(drafts) > 1:
            path += "/batch"
            headers["x-batch-validation"] = "permissive"  # one bad message does not stop the rest
        return Request(self.account.base_url + path, headers, self.body(drafts))

    @override
    def taken(self, found: Any, answer: OutboundAnswer, drafts: Sequence[Draft]) -> list[Verdict]:
        if len(drafts) == 1:
            ident = word(found, "id")
            return [Taken(ident) if ident else unreadable(answer.status)]
        refused = {
            word(each, "index"): word(each, "message") for each in items(at(found, "errors"))
        }
        ids = [word(each, "id") for each in items(at(found, "data"))]
        if len(ids) + len(refused) != len(drafts) or not all(ids):
            return [unreadable(answer.status)] * len(drafts)
        left = iter(ids)
        return [
            Declined(Scope.MESSAGE, shortened(refused[str(place)]))
            if str(place) in refused
            else Taken(next(left, None))
            for place in range(len(drafts))
        ]

    @override
    def error(self, found: Any, answer: OutboundAnswer) -> tuple[str, str]:
        return word(found, "name"), word(found, "message")


def _message(draft: Draft) -> dict[str, Any]:
    mail = draft.mail
    message: dict[str, Any] = {
        "from": encode_mailbox(mail.sender),
        "to": [draft.envelope.recipient],
        "subject": subject_of(draft),
        "html": mail.html,
        "text": text_of(draft),
        "headers": own_headers(draft),
        "tags": [{"name": MESSAGE_TAG, "value": draft.message}],
    }
    if mail.reply_to is not None:
        message["reply_to"] = encode_mailbox(mail.reply_to)
    return message
