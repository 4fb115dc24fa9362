"""One test mail by one provider, outside the ledger, and what its answer means, in words."""

import datetime as dt
from dataclasses import dataclass
from typing import Protocol

from chappe_sender.application.ports import Verdict
from chappe_sender.application.routing import ProviderRecord
from chappe_sender.domain import mime
from chappe_sender.domain.addresses import Address, Mailbox
from chappe_sender.domain.envelope import Envelope
from chappe_sender.domain.outcome import (
    Declined,
    HandOverError,
    InDoubt,
    NotSent,
    Refused,
    Reply,
    Scope,
    Stage,
    Taken,
)

_TEXT = """This is a test from Chappe, sent by the provider {name} ({kind}).

If you can read it, mail goes out this way.
"""
_REFUSALS = {
    Scope.ROUTE: "It refuses any mail of ours: look at the key, the account and its limits.",
    Scope.RATE: "It is asked too often just now; the key works.",
    Scope.MESSAGE: "It refuses this mail: most often because the From domain is not set up there.",
    Scope.LOAD: "It refuses this mail.",
    Scope.RECIPIENT: "It does not write to this address; the key works.",
}


@dataclass(frozen=True, slots=True)
class Trial:
    """``outcome``: taken, refused, unreachable, in_doubt. ``said`` is the provider's own words."""

    outcome: str
    said: str
    meaning: str
    provider_message_id: str | None = None


class TrialLane(Protocol):
    """Carries one mail, once."""

    async def carry(
        self, record: ProviderRecord, id_: str, envelope: Envelope, mail: mime.Mail
    ) -> Verdict: ...


async def run_trial(
    lane: TrialLane,
    record: ProviderRecord,
    *,
    sender: Mailbox,
    to: Address,
    id_: str,
    now: dt.datetime,
) -> Trial:
    """Send it. ``now`` is the wall clock."""
    text = _TEXT.format(name=record.name, kind=record.kind)
    mail = mime.Mail(
        message=id_,
        workspace=record.workspace,
        journey="test",
        sender=sender,
        reply_to=None,
        to=to,
        subject="A test from Chappe",
        date=now,
        html="<p>" + text.strip().replace("\n\n", "</p>\n<p>") + "</p>\n",
        text=text,
        plain_style=True,
        marketing=None,
    )
    envelope = Envelope(str(sender.address), str(to), mime.build(mail), utf8=mail.needs_utf8)
    return told(await lane.carry(record, id_, envelope, mail), str(sender.address))


def told(verdict: Verdict, sender: str) -> Trial:
    """A verdict in words."""
    match verdict:
        case Reply():
            return Trial("taken", str(verdict), "The server took the mail.")
        case Taken(provider_id=ident):
            return Trial("taken", str(verdict), "The provider took the mail.", ident)
        case Declined(scope=scope, detail=detail):
            return Trial("refused", detail, f"{_REFUSALS[scope]} From was {sender}.")
        case InDoubt():
            return Trial("in_doubt", str(verdict), "The mail may have been sent: look for it.")
        case NotSent(stage=Stage.TLS | Stage.AUTH):
            said = "It was reached, but not with the TLS or the login asked for; nothing was sent."
            return Trial("unreachable", str(verdict), said)
        case NotSent():
            return Trial("unreachable", str(verdict), "It was not reached; nothing was sent.")
        case Refused(stage=Stage.AUTH) if not verdict.permanent:
            said = "It cannot check the user and the password now."
            return Trial("refused", str(verdict), said)
        case Refused(stage=Stage.AUTH):
            return Trial("refused", str(verdict), "It refuses the user or the password.")
        case Refused() | HandOverError():
            return Trial("refused", str(verdict), f"It refuses this mail. From was {sender}.")
