"""Amazon SES, API v2: ``SendEmail`` with the whole message.

No configuration set that follows opens or clicks is named, so SES leaves our links alone.
"""

import base64
import datetime as dt
from collections.abc import Sequence
from typing import Any

from typing_extensions import override

from chappe.http import OutboundAnswer
from chappe_sender.adapters.providers.aws import signed_headers
from chappe_sender.adapters.providers.base import (
    MESSAGE_TAG,
    Draft,
    HttpAdapter,
    Request,
    Verdict,
    encode,
    word,
)
from chappe_sender.domain.outcome import Scope, Taken
from chappe_sender.domain.providers.answers import Answers, proof, unreadable


class Ses(HttpAdapter):
    """One message per call."""

    path = "/v2/email/outbound-emails"
    answers = Answers(
        (
            proof(400, Scope.RATE, "throttling|toomanyrequests|limitexceeded"),
            proof(400, Scope.ROUTE, "accountsuspended|sendingpaused|mailfromdomain"),
            proof(400, Scope.MESSAGE),
            proof(401, Scope.ROUTE),
            proof(403, Scope.ROUTE),
            proof(404, Scope.ROUTE),
            proof(413, Scope.MESSAGE),
            proof(429, Scope.RATE),
        )
    )

    def payload(self, drafts: Sequence[Draft]) -> Any:
        (draft,) = drafts
        payload: dict[str, Any] = {
            "Destination": {"ToAddresses": [draft.envelope.recipient]},
            "Content": {"Raw": {"Data": base64.b64encode(draft.envelope.content).decode("ascii")}},
            "EmailTags": [{"Name": MESSAGE_TAG, "Value": draft.message}],
        }
        if chosen := self.account.options.get("configuration_set"):
            payload["ConfigurationSetName"] = chosen
        return payload

    @override
    def body(self, drafts: Sequence[Draft]) -> bytes:
        return encode(self.payload(drafts))

    @override
    def request(self, drafts: Sequence[Draft], key: str | None, now: dt.datetime) -> Request:
        url, body = self.account.base_url + self.path, self.body(drafts)
        headers = signed_headers(
            url=url,
            body=body,
            headers={"Content-Type": "application/json"},
            access_key=self.account.secrets["access_key"],
            secret_key=self.account.secrets["secret_key"],
            region=self.account.options["region"],
            service="ses",
            now=now,
        )
        return Request(url, headers, body)

    @override
    def taken(self, found: Any, answer: OutboundAnswer, drafts: Sequence[Draft]) -> list[Verdict]:
        ident = word(found, "MessageId")
        return [Taken(ident) if ident else unreadable(answer.status)]

    @override
    def error(self, found: Any, answer: OutboundAnswer) -> tuple[str, str]:
        kind = answer.headers.get("x-amzn-errortype", "") or word(found, "__type")
        return kind.partition(":")[0].rpartition("#")[2], word(found, "message") or word(
            found, "Message"
        )
