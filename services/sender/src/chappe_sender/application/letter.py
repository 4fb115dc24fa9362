"""Make the wire's message out of a claimed one: values, links, content, headers, envelope."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from chappe.events import Snapshot
from chappe.tokens import Tokens
from chappe_sender.application.keyring import Keyring, Signing
from chappe_sender.application.ports import Claimed, ContentError, Render
from chappe_sender.domain import double_opt_in, mime
from chappe_sender.domain.addresses import Mailbox, parse_address
from chappe_sender.domain.brand import Brand
from chappe_sender.domain.ending import Refusal
from chappe_sender.domain.envelope import Envelope
from chappe_sender.domain.headers import HeaderError
from chappe_sender.domain.samples import Coupon
from chappe_sender.domain.template import TemplateVersion
from chappe_sender.domain.tracking import Links

DEFAULT_TOPIC = "mail"
LOOK_LETTERS_MAX = 60
"""Of the brand's name and colour in a link to unsubscribe: they stand in every mail three times."""

_snapshot = msgspec.json.Decoder(Snapshot).decode


@dataclass(frozen=True, slots=True)
class Letter:
    """A claimed message, ready for the wire."""

    claimed: Claimed
    envelope: Envelope
    header_id: str
    subject: str
    mail: mime.Mail


@dataclass(frozen=True, slots=True)
class Scribe:
    """Writes letters. ``sender`` is whom mail is from when the brand kit does not say;
    ``bounce_domain`` is where mail comes back to, if anywhere but to the sender.
    """

    render: Render
    tokens: Tokens
    public_url: str
    sender: Mailbox
    bounce_domain: str | None = None
    keys: Keyring = field(default_factory=Keyring)

    def write(
        self,
        claimed: Claimed,
        version: TemplateVersion,
        brand: Brand,
        signing: Signing = Signing.WHOLE,
    ) -> Letter | Refusal:
        """The same message always gives the same bytes, as long as brand kit and keys stay."""
        to = parse_address(claimed.address)
        if to is None:
            return Refusal("no_address", "the address cannot be written to")
        try:
            snapshot = _snapshot(claimed.snapshot)
            links = self._links(claimed, brand, snapshot)
            values = _values(claimed, brand, snapshot)
            if claimed.message.step == double_opt_in.NAME:
                values["confirm_url"] = links.confirm(int(claimed.dated_at.timestamp()))
            content = self.render.render(version, claimed.locale, values, links)
            mail = mime.Mail(
                message=claimed.message.id,
                workspace=claimed.message.workspace,
                journey=claimed.message.journey or "none",
                sender=brand.mailbox(self.sender),
                reply_to=brand.reply_mailbox(),
                to=to,
                subject=content.subject,
                date=claimed.dated_at,
                html=content.html,
                text=content.text,
                plain_style=content.plain_style,
                marketing=mime.Marketing(
                    unsubscribe_url=links.unsubscribe(),
                    topic=claimed.topic or DEFAULT_TOPIC,
                    unsubscribe_address=self._returns_to("u", claimed),
                )
                if claimed.message.is_marketing
                else None,
            )
            back = self._returns_to("b", claimed) or str(mail.sender.address)
            sign = self._signer(mail, brand, signing)
            envelope = Envelope(back, str(to), mime.build(mail, sign), utf8=mail.needs_utf8)
        except (ContentError, HeaderError, msgspec.MsgspecError) as error:
            return Refusal("render_failed", str(error))
        return Letter(claimed, envelope, mime.message_id(mail), mail.subject, mail)

    def _signer(self, mail: mime.Mail, brand: Brand, signing: Signing) -> mime.Signer | None:
        if signing.value is None:
            return None
        domain = mail.sender.address.domain
        signed_at = int(mail.date.timestamp())
        return self.keys.signer(
            mail.workspace, domain, brand.sender_domain, signed_at, signing.value
        )

    def _returns_to(self, kind: str, claimed: Claimed) -> str | None:
        """An address of ours that names the message, for its bounce or for a wish to leave."""
        if self.bounce_domain is None:
            return None
        local = self.tokens.sign_return(kind, claimed.message.id)
        return f"{local}@{self.bounce_domain}" if local is not None else None

    def _links(self, claimed: Claimed, brand: Brand, snapshot: Snapshot) -> Links:
        return Links(
            self.tokens,
            self.public_url,
            claimed.message.workspace,
            claimed.message.contact,
            claimed.message.id,
            claimed.address,
            claimed.topic,
            (brand.name[:LOOK_LETTERS_MAX], brand.colors.get("primary", "")[:LOOK_LETTERS_MAX]),
            claimed.measuring.mode(snapshot.contact.get("country")),
            (claimed.message.journey or "", claimed.message.step or ""),
        )


def _values(claimed: Claimed, brand: Brand, snapshot: Snapshot) -> dict[str, Any]:
    return {
        "contact": snapshot.contact,
        "event": snapshot.event,
        "entry": snapshot.entry,
        "brand": brand.values(),
        "workspace": {"name": claimed.message.workspace},
        "now": claimed.asked_at.isoformat(),
        "coupon": Coupon(claimed.coupon) if claimed.coupon is not None else None,
    }
