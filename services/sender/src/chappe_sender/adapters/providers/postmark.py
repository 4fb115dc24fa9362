"""Postmark: batches of messages, each answered for itself; its own tracking off.

Its Message-ID is replaced unless ``X-PM-KeepID`` asks it not to.
"""

from collections.abc import Sequence
from typing import Any

from typing_extensions import override

from chappe.http import OutboundAnswer
from chappe_sender.adapters.providers.base import (
    MESSAGE_TAG,
    Draft,
    JsonAdapter,
    Verdict,
    items,
    own_headers,
    subject_of,
    text_of,
    word,
)
from chappe_sender.domain.headers import encode_mailbox
from chappe_sender.domain.outcome import Declined, Scope, Taken
from chappe_sender.domain.providers.answers import Answers, proof, shortened, unreadable

_ACCOUNT = "10|405|412|1221|1226|1227|1235"
"""Error codes about the token, the credits, the account's approval, the message stream."""
_INACTIVE = "406"


class Postmark(JsonAdapter):
    """Up to 500 a call, 50 MB."""

    path = "/email/batch"
    answers = Answers(
        (
            proof(401, Scope.ROUTE),
            proof(403, Scope.ROUTE),
            proof(404, Scope.ROUTE),
            proof(413, Scope.MESSAGE),
            proof(415, Scope.ROUTE),
            proof(422, Scope.ROUTE, rf"^({_ACCOUNT})$"),
            proof(422, Scope.MESSAGE),
            proof(429, Scope.RATE),
            proof(503, Scope.ROUTE, "^100$"),  # offline for maintenance
        )
    )

    @override
    def credentials(self) -> dict[str, str]:
        return {"X-Postmark-Server-Token": self.account.secrets["server_token"]}

    @override
    def payload(self, drafts: Sequence[Draft]) -> Any:
        return [self._message(draft) for draft in drafts]

    def _message(self, draft: Draft) -> dict[str, Any]:
        options, mail = self.account.options, draft.mail
        stream = options.get("stream") or "outbound"
        if mail.marketing is not None:
            stream = options.get("marketing_stream") or options.get("stream") or "broadcast"
        kept = {"Message-ID": draft.header_id, "X-PM-KeepID": "true"}
        message: dict[str, Any] = {
            "From": encode_mailbox(mail.sender),
            "To": draft.envelope.recipient,
            "Subject": subject_of(draft),
            "HtmlBody": mail.html,
            "TextBody": text_of(draft),
            "Headers": [{"Name": n, "Value": v} for n, v in (own_headers(draft) | kept).items()],
            "Metadata": {MESSAGE_TAG: draft.message},
            "MessageStream": stream,
            "TrackOpens": False,
            "TrackLinks": "None",
        }
        if mail.reply_to is not None:
            message["ReplyTo"] = encode_mailbox(mail.reply_to)
        return message

    @override
    def taken(self, found: Any, answer: OutboundAnswer, drafts: Sequence[Draft]) -> list[Verdict]:
        each = items(found)
        if len(each) != len(drafts):
            return [unreadable(answer.status)] * len(drafts)
        return [_verdict(answer, one) for one in each]

    @override
    def error(self, found: Any, answer: OutboundAnswer) -> tuple[str, str]:
        return word(found, "ErrorCode"), word(found, "Message")


def _verdict(answer: OutboundAnswer, one: Any) -> Verdict:
    code, ident = word(one, "ErrorCode"), word(one, "MessageID")
    words = word(one, "Message")
    if code == "0" and ident:
        return Taken(ident, words)
    if not code or code == "0":
        return unreadable(answer.status)
    scope = Scope.MESSAGE
    if code == _INACTIVE:
        scope = Scope.RECIPIENT
    elif code in _ACCOUNT.split("|"):
        scope = Scope.ROUTE
    return Declined(scope, shortened(f"{code}: {words}"))
