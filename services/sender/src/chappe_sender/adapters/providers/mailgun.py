"""Mailgun: the whole message to ``messages.mime``, with its own tracking off.

A 5xx proves nothing: its users report mails that were sent all the same.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

from typing_extensions import override

from chappe.http import OutboundAnswer
from chappe.ids import derived
from chappe_sender.adapters.providers.base import (
    MESSAGE_TAG,
    Draft,
    HttpAdapter,
    Request,
    Verdict,
    basic,
    word,
)
from chappe_sender.domain.outcome import Scope, Taken
from chappe_sender.domain.providers.answers import Answers, proof, unreadable


class Mailgun(HttpAdapter):
    """One message per call, as a form."""

    path = "/v3/{domain}/messages.mime"
    answers = Answers(
        (
            proof(400, Scope.MESSAGE),
            proof(401, Scope.ROUTE),
            proof(402, Scope.ROUTE),
            proof(403, Scope.ROUTE),
            proof(404, Scope.ROUTE),
            proof(413, Scope.MESSAGE),
            proof(429, Scope.RATE),
        )
    )

    def credentials(self) -> dict[str, str]:
        return {"Authorization": basic("api", self.account.secrets["api_key"])}

    @override
    def body(self, drafts: Sequence[Draft]) -> bytes:
        (draft,) = drafts
        edge = f"--{_boundary(draft)}\r\n".encode()
        fields = {
            "to": draft.envelope.recipient,
            "o:tracking": "no",
            "o:tracking-clicks": "no",
            "o:tracking-opens": "no",
            f"v:{MESSAGE_TAG}": draft.message,
        }
        parts = [
            edge + f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in fields.items()
        ]
        head = (
            b'Content-Disposition: form-data; name="message"; filename="message.eml"\r\n'
            b"Content-Type: message/rfc822\r\n\r\n"
        )
        parts.append(edge + head + draft.envelope.content + b"\r\n")
        return b"".join((*parts, f"--{_boundary(draft)}--\r\n".encode()))

    @override
    def request(self, drafts: Sequence[Draft], key: str | None, now: dt.datetime) -> Request:
        path = self.path.format(domain=self.account.options["domain"])
        kind = f"multipart/form-data; boundary={_boundary(drafts[0])}"
        headers = self.credentials() | {"Content-Type": kind}
        return Request(self.account.base_url + path, headers, self.body(drafts))

    @override
    def taken(self, found: Any, answer: OutboundAnswer, drafts: Sequence[Draft]) -> list[Verdict]:
        ident = word(found, "id").strip("<> ")
        return [Taken(ident, word(found, "message")) if ident else unreadable(answer.status)]

    @override
    def error(self, found: Any, answer: OutboundAnswer) -> tuple[str, str]:
        return "", word(found, "message") or answer.body[:200].decode("utf-8", "replace")


def _boundary(draft: Draft) -> str:
    return f"chappe-{derived('', 'form', draft.message)}"
