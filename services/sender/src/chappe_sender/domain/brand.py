"""The brand kit: what every template of a workspace may refer to, and who its mail is from."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from chappe.page import Look, ink_on
from chappe_sender.domain.addresses import Mailbox, parse_mailbox


class Brand(msgspec.Struct, frozen=True, omit_defaults=True):
    """``from`` and ``reply_to`` are ``Name <address>``; the rest is for templates to show.
    ``hosts`` are the only ones that templates may link to; none: any. ``topics`` are what people
    read instead of a topic's name, by language.
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
    topics: dict[str, dict[str, str]] = {}

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
            "colors": _with_ink(self.colors),
            "fonts": dict(self.fonts),
        }

    @property
    def look(self) -> Look:
        """For the pages that people outside see."""
        address = postal_line(self.name, self.address)
        return Look(self.name, self.colors.get("primary", ""), self.logo_url, address)

    def topic_title(self, topic: str, lang: str) -> str:
        """What a topic is called in ``lang``; its name made readable where nobody said."""
        said = self.topics.get(topic, {})
        plain = re.sub(r"[-_]+", " ", topic)
        return said.get(lang) or next(iter(said.values()), "") or plain[:1].upper() + plain[1:]

    def mailbox(self, fallback: Mailbox) -> Mailbox:
        return parse_mailbox(self.from_) or Mailbox(self.name or fallback.name, fallback.address)

    def reply_mailbox(self) -> Mailbox | None:
        return parse_mailbox(self.reply_to) if self.reply_to else None


def postal_line(name: str, address: str) -> str:
    """Who and where on one line; the name once, also when the address begins with it."""
    if not name or name.casefold() in address.casefold():
        return address
    return f"{name} · {address}" if address else name


def _with_ink(colors: Mapping[str, str]) -> dict[str, str]:
    """With ``on_primary``, what reads well on ``primary``, unless the kit says its own."""
    primary = colors.get("primary", "")
    try:
        ink = ink_on(primary)
    except ValueError:
        return dict(colors)
    return {"on_primary": ink, **colors}
