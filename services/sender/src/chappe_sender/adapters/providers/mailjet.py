"""Mailjet, Send API v3.1: batches, of which some may be taken and others not, whatever the status.

It writes its own Message-ID.
"""

from collections.abc import Sequence
from typing import Any

from typing_extensions import override

from chappe.http import OutboundAnswer
from chappe_sender.adapters.providers.base import (
    Draft,
    JsonAdapter,
    Verdict,
    at,
    basic,
    items,
    name_of,
    own_headers,
    parsed,
    subject_of,
    text_of,
    word,
)
from chappe_sender.domain.addresses import Mailbox
from chappe_sender.domain.outcome import Declined, InDoubt, Scope, Stage, Taken
from chappe_sender.domain.providers.answers import Answers, proof, shortened, unreadable


class Mailjet(JsonAdapter):
    """Up to 50 a call."""

    path = "/v3.1/send"
    answers = Answers(
        (
            proof(400, Scope.MESSAGE),
            proof(401, Scope.ROUTE),
            proof(403, Scope.ROUTE),
            proof(404, Scope.ROUTE),
            proof(413, Scope.MESSAGE),
            proof(429, Scope.RATE),
        )
    )

    @override
    def credentials(self) -> dict[str, str]:
        secrets = self.account.secrets
        return {"Authorization": basic(secrets["api_key"], secrets["secret_key"])}

    @override
    def payload(self, drafts: Sequence[Draft]) -> Any:
        return {"Messages": [_message(draft) for draft in drafts]}

    @override
    def verdicts(self, answer: OutboundAnswer, drafts: Sequence[Draft]) -> list[Verdict]:
        found = parsed(answer.body)
        if items(at(found, "Messages")):
            return self.taken(found, answer, drafts)
        return super().verdicts(answer, drafts)

    @override
    def taken(self, found: Any, answer: OutboundAnswer, drafts: Sequence[Draft]) -> list[Verdict]:
        each = items(at(found, "Messages"))
        if len(each) != len(drafts):
            return [unreadable(answer.status)] * len(drafts)
        return [_verdict(answer, one) for one in each]

    @override
    def error(self, found: Any, answer: OutboundAnswer) -> tuple[str, str]:
        return word(found, "ErrorCode"), word(found, "ErrorMessage")


def _message(draft: Draft) -> dict[str, Any]:
    mail = draft.mail
    message: dict[str, Any] = {
        "From": _mailbox(mail.sender),
        "To": [{"Email": draft.envelope.recipient}],
        "Subject": subject_of(draft),
        "TextPart": text_of(draft),
        "HTMLPart": mail.html,
        "CustomID": draft.message,
        "Headers": own_headers(draft),
        "TrackOpens": "disabled",
        "TrackClicks": "disabled",
        "TemplateLanguage": False,
    }
    if mail.reply_to is not None:
        message["ReplyTo"] = _mailbox(mail.reply_to)
    return message


def _mailbox(mailbox: Mailbox) -> dict[str, str]:
    shown = {"Email": str(mailbox.address)}
    return shown | {"Name": name} if (name := name_of(mailbox)) else shown


def _verdict(answer: OutboundAnswer, one: Any) -> Verdict:
    ident = word(one, "To", 0, "MessageID")
    if word(one, "Status").lower() == "success":
        return Taken(ident or None) if ident else unreadable(answer.status)
    error = at(one, "Errors", 0)
    status, code = word(error, "StatusCode"), word(error, "ErrorCode")
    said = shortened(f"{status} {code}: {word(error, 'ErrorMessage')}")
    if status[:1] != "4":
        return InDoubt(Stage.VERDICT, f"an answer that proves nothing: {said}")
    if status == "429":
        return Declined(Scope.RATE, said)
    about = [each for each in items(at(error, "ErrorRelatedTo")) if isinstance(each, str)]
    to_them = any(each.startswith("To") for each in about)
    return Declined(Scope.RECIPIENT if to_them else Scope.MESSAGE, said)
