"""From a delivery as it came to facts that are believed: verify, read, find whose it is."""

import base64
import dataclasses
import datetime as dt
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec

from chappe.events import Event, decode_event
from chappe.ids import MessageId, WorkspaceId
from chappe.tokens import Tokens, Vault
from chappe_sender.application import feedback_ports as ports
from chappe_sender.application.feedback_desk import message_candidates
from chappe_sender.application.feedback_ports import (
    Certificates,
    Choice,
    Delivery,
    Endpoint,
    Fact,
    Pins,
)
from chappe_sender.domain.bounces import BounceClass, Kind, ProviderEvent, answer
from chappe_sender.domain.bounces import read as read_mail
from chappe_sender.domain.feedback import PROVIDERS, Provider, Verdict, ses
from chappe_sender.domain.feedback.keys import Keys

RETURN_KIND: Final = "return-kind"
RETURN_MESSAGE: Final = "return-message"
SENDER: Final = "mail-from"
"""What the intake noted of the transaction; the address's token was checked there."""

TO_BOUNCES, TO_LEAVE, TO_COMPLAINTS = "b", "u", "f"
_LINK = re.compile(rb"/u/([A-Za-z0-9_=\r\n-]{22,900})")
_LINKS_MAX = 20
_KEY_LETTERS_MAX = 300

SES = "ses"
SEALED: Final = "chappe-sealed"
FROM_QUEUE: Final = "chappe-queue"
"""Set by our poller alone; the edge passes no header of this name."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Not believed, or not readable: dropped, with the reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unread:
    """Its endpoint has no secret yet."""


Reading: TypeAlias = list[Fact] | Choice | Refused | Unread

_pairs = msgspec.json.Decoder(list[tuple[str, str]]).decode
_choice = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads deliveries of every kind."""

    pins: Pins
    certificates: Certificates
    tokens: Tokens
    vault: Vault

    async def read(self, delivery: Delivery, endpoints: Mapping[str, Endpoint]) -> Reading:
        """Raises ``NotNow`` when something outside did not answer."""
        match delivery.kind:
            case ports.MAIL:
                return self._mail(delivery)
            case ports.EVENT:
                return _event(delivery)
            case ports.OPERATOR:
                return _word(delivery)
            case _:
                delivery = self._unsealed(delivery)
                return await self._webhook(delivery, endpoints.get(delivery.endpoint))

    def _unsealed(self, delivery: Delivery) -> Delivery:
        """With the headers that the edge sealed, because they may hold a credential."""
        sealed = delivery.headers.get(SEALED)
        if sealed is None:
            return delivery
        try:
            raw = base64.b64decode(sealed)
            pairs = _pairs(self.vault.decrypt(f"raw.delivery/{delivery.id}", raw))
        except (ValueError, msgspec.MsgspecError):
            return delivery
        return dataclasses.replace(delivery, headers=dict(delivery.headers) | dict(pairs))

    # -- webhooks ---------------------------------------------------------------------------

    async def _webhook(self, delivery: Delivery, endpoint: Endpoint | None) -> Reading:
        provider = PROVIDERS.get(delivery.kind)
        if endpoint is None or provider is None or endpoint.kind != delivery.kind:
            return Refused("unknown_endpoint")
        if endpoint.deleted:
            return Refused("deleted_endpoint")
        if endpoint.kind == SES:
            return await self._ses(delivery, endpoint, provider)
        if endpoint.keys is None:
            return Unread()
        verdict = _verdict_of(provider, delivery, endpoint.keys)
        return _facts(delivery, endpoint, provider) if verdict.verified else _not(verdict)

    async def _ses(self, delivery: Delivery, endpoint: Endpoint, provider: Provider) -> Reading:
        """By Amazon's signature, and of the one topic that this endpoint believes; or, where a
        secret was set, by that (raw delivery has no signature).
        """
        if FROM_QUEUE in delivery.headers:
            return _facts(delivery, endpoint, provider)
        if endpoint.keys is not None and ses.certificate_url(delivery.body) is None:
            verdict = _verdict_of(provider, delivery, endpoint.keys)
            return _facts(delivery, endpoint, provider) if verdict.verified else _not(verdict)
        url = ses.certificate_url(delivery.body)
        if url is None:
            return Refused("SigningCertURL is not one of Amazon's")
        topic = ses.topic(delivery.body)
        if endpoint.topic is not None and topic != endpoint.topic:
            return Refused(f"from the topic {topic[:200]}, which is not this endpoint's")
        verdict = _verdict(provider, delivery, await self.certificates.pem(url))
        if not verdict.verified:
            return _not(verdict)
        confirm = ses.subscribe_url(delivery.body)
        if confirm is not None:
            # The address cannot be guessed: the first topic that knows it is the one.
            if not await self.pins.pin(endpoint.id, topic):
                return Refused("another topic was confirmed before")
            await self.certificates.confirm(confirm)
            return []
        if endpoint.topic is None:
            return Refused("its topic was never confirmed")
        return _facts(delivery, endpoint, provider)

    # -- returned mail ----------------------------------------------------------------------

    def _mail(self, delivery: Delivery) -> Reading:
        kind, message = delivery.headers.get(RETURN_KIND), delivery.headers.get(RETURN_MESSAGE, "")
        told = read_mail(delivery.body)
        if kind == TO_COMPLAINTS and message:
            return self._complaints(delivery, WorkspaceId(message), told)
        if not message or kind not in {TO_BOUNCES, TO_LEAVE}:
            return Refused("no token")
        if kind == TO_LEAVE and not any(each.kind in _ROBOTS for each in told):
            told = [ProviderEvent(kind=Kind.UNSUBSCRIBED, dedupe=f"leave:{message}")]
        if kind == TO_BOUNCES and not told and (said := answer(delivery.body)) is not None:
            told = [said]
        return [
            Fact(delivery=delivery, workspace=None, event=_clean(each), candidates=(message,))
            for each in told
        ]

    def _complaints(
        self, delivery: Delivery, workspace: WorkspaceId, told: list[ProviderEvent]
    ) -> Reading:
        """To the address for feedback loops, which has no message in it: what proves that the
        complaint is about a mail of ours is a sealed link within.
        """
        message = self._sealed(delivery.body)
        heard = [each for each in told if each.kind in {Kind.COMPLAINED, Kind.UNSUBSCRIBED}]
        if message is None:
            return Refused("no link of ours in it")
        return [
            Fact(
                delivery=delivery,
                workspace=workspace,
                event=_clean(dataclasses.replace(each, recipient=None)),
                candidates=(message,),
            )
            for each in heard[:1]
        ]

    def _sealed(self, body: bytes) -> str | None:
        for match in list(_LINK.finditer(body))[:_LINKS_MAX]:
            token = match[1].replace(b"=\r\n", b"").replace(b"=\n", b"").split(b"\n")[0].strip()
            payload = self.tokens.open("unsubscribe", token.decode("ascii", "ignore"))
            if payload is not None and len(payload) > 3 and isinstance(payload[3], str):  # noqa: PLR2004 - workspace, contact, address, message
                return payload[3]
        return None


_ROBOTS = frozenset({Kind.BOUNCED, Kind.DEFERRED, Kind.AUTOREPLY, Kind.DELIVERED})


def _verdict_of(provider: Provider, delivery: Delivery, keys: Keys) -> Verdict:
    """By any secret that was good when it reached the edge; what is said is of the newest."""
    verdicts = [_verdict(provider, delivery, each) for each in keys.at(delivery.received_wall)]
    return next((each for each in verdicts if each.verified), verdicts[0])


def _verdict(provider: Provider, delivery: Delivery, secret: str) -> Verdict:
    """Against the moment it reached the edge: what waited in a spool is not old."""
    headers = list(delivery.headers.items())
    return provider.verify(delivery.body, headers, secret, delivery.received_wall)


def _not(verdict: Verdict) -> Refused:
    return Refused(verdict.reason or "not verified")


def _facts(delivery: Delivery, endpoint: Endpoint, provider: Provider) -> list[Fact]:
    return [
        Fact(
            delivery=delivery,
            workspace=endpoint.workspace,
            event=each,
            candidates=message_candidates(each),
            provider_ids=(each.provider_message_id,) if each.provider_message_id else (),
        )
        for each in map(_clean, provider.read(delivery.body, list(delivery.headers.items())))
    ]


def _clean(event: ProviderEvent) -> ProviderEvent:
    """Without what Postgres cannot keep; a key that is too long as its hash."""
    words = {
        name: value.replace("\0", "")
        for name in ("recipient", "reason", "provider_message_id", "message", "url", "user_agent")
        if (value := getattr(event, name)) is not None and "\0" in value
    }
    key = event.dedupe.replace("\0", "")
    if len(key) > _KEY_LETTERS_MAX:
        key = hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
    return dataclasses.replace(event, **words, dedupe=key)


# -- our own ------------------------------------------------------------------------------------

_OWN: Final = {
    "email.bounced": Kind.BOUNCED,
    "email.opened": Kind.OPENED,
    "email.clicked": Kind.CLICKED,
}


def bears_on_delivery(event: Event) -> bool:
    """Whether an event on the stream says something about an address or a doubt."""
    return event.name in _OWN and isinstance(event.data.get("message"), str)


def _event(delivery: Delivery) -> Reading:
    try:
        event = decode_event(delivery.body)
    except msgspec.MsgspecError:
        return Refused("no event")
    kind = _OWN.get(event.name)
    message = event.data.get("message")
    if kind is None or not isinstance(message, str):
        return Refused("no event about a message")
    words = event.data.get("detail")
    told = ProviderEvent(
        kind=kind,
        bounce_class=_class(event.data.get("bounce_class")),
        permanent=event.data.get("permanent") is True,
        reason=words if isinstance(words, str) else None,
        machine=event.data.get("verdict") == "machine",
        occurred_at=_wall(event.occurred_at, delivery),
        dedupe=f"event:{event.id}",
    )
    return [
        Fact(
            delivery=delivery,
            workspace=event.workspace,
            event=told,
            candidates=(message,),
            own=True,
        )
    ]


def _wall(at: dt.datetime, delivery: Delivery) -> dt.datetime:
    """A moment of the business clock as the wall clock had it."""
    return delivery.received_wall - (delivery.received_at - at)


def _class(word: object) -> BounceClass | None:
    try:
        return BounceClass(word) if isinstance(word, str) else None
    except ValueError:
        return None


def _word(delivery: Delivery) -> Reading:
    try:
        said = _choice(delivery.body)
        return Choice(
            delivery=delivery,
            workspace=WorkspaceId(said["workspace"]),
            message=MessageId(said["message"]),
            accepted=said["as"] == "accepted",
            note=said.get("note") or "",
        )
    except (msgspec.MsgspecError, KeyError):
        return Refused("no decision")
