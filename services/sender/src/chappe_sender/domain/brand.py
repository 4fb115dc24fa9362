"""The brand kit: what every template of a workspace may refer to, and who its mail is from."""

from typing import Any

import msgspec

from chappe_sender.domain.addresses import Mailbox, parse_mailbox


class Brand(msgspec.Struct, frozen=True, omit_defaults=True):
    """``from`` and ``reply_to`` are ``Name <address>``; the rest is for templates to show.
    ``hosts`` are the only ones that templates may link to; none: any.
    """

    name: str = ""
    from_: str = msgspec.field(name="from", default="")
    reply_to: str = ""
    address: str = ""
    url: str = ""
    logo_url: str = ""
    footer: str = ""
    sender_domain: str = ""
    colors: dict[str, str] = {}
    fonts: dict[str, str] = {}
    hosts: tuple[str, ...] = ()

    def values(self) -> dict[str, Any]:
        """As templates see it, empty fields included."""
        return {
            "name": self.name,
            "from": self.from_,
            "reply_to": self.reply_to,
            "address": self.address,
            "url": self.url,
            "logo_url": self.logo_url,
            "footer": self.footer,
            "sender_domain": self.sender_domain,
            "colors": dict(self.colors),
            "fonts": dict(self.fonts),
        }

    def mailbox(self, fallback: Mailbox) -> Mailbox:
        return parse_mailbox(self.from_) or Mailbox(self.name or fallback.name, fallback.address)

    def reply_mailbox(self) -> Mailbox | None:
        return parse_mailbox(self.reply_to) if self.reply_to else None
