"""SparkPost (Bird): the whole message as a transmission to one recipient, its own tracking off.

``transactional`` is always set: a transmission without it gets List-Unsubscribe lines that are not
ours. Who may be written to was decided by us.
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
    at,
    word,
)
from chappe_sender.domain.outcome import Declined, Scope, Taken
from chappe_sender.domain.providers.answers import Answers, proof, unreadable


class SparkPost(JsonAdapter):
    """It gives the id of the transmission, and how many of its recipients it took."""

    path = "/api/v1/transmissions"
    answers = Answers(
        (
            proof(400, Scope.MESSAGE),
            proof(401, Scope.ROUTE),
            proof(403, Scope.ROUTE),
            proof(404, Scope.ROUTE),
            proof(405, Scope.ROUTE),
            proof(413, Scope.MESSAGE),
            proof(415, Scope.ROUTE),
            proof(420, Scope.ROUTE),  # the sending limit of the day
            proof(422, Scope.MESSAGE),
            proof(429, Scope.RATE),
        )
    )

    @override
    def credentials(self) -> dict[str, str]:
        return {"Authorization": self.account.secrets["api_key"]}

    @override
    def payload(self, drafts: Sequence[Draft]) -> Any:
        (draft,) = drafts
        options: dict[str, Any] = {
            "open_tracking": False,
            "click_tracking": False,
            "transactional": True,
            "perform_substitutions": False,
        }
        if pool := self.account.options.get("ip_pool"):
            options["ip_pool"] = pool
        return {
            "options": options,
            "metadata": {MESSAGE_TAG: draft.message},
            "recipients": [{"address": {"email": draft.envelope.recipient}}],
            "content": {"email_rfc822": draft.envelope.content.decode("utf-8", "replace")},
        }

    @override
    def taken(self, found: Any, answer: OutboundAnswer, drafts: Sequence[Draft]) -> list[Verdict]:
        results = at(found, "results")
        ident = word(results, "id")
        taken, refused = (
            at(results, f"total_{what}_recipients") for what in ("accepted", "rejected")
        )
        if taken == 1 and ident:
            return [Taken(ident)]
        if taken == 0 and refused == 1:
            return [Declined(Scope.RECIPIENT, "the recipient was rejected")]
        return [unreadable(answer.status)]

    @override
    def error(self, found: Any, answer: OutboundAnswer) -> tuple[str, str]:
        words = [word(found, "errors", 0, name) for name in ("message", "description")]
        return word(found, "errors", 0, "code"), " ".join(filter(None, words))
