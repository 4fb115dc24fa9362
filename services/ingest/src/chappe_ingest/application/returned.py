"""Mail that comes back: taken only to addresses that we signed, kept before anybody says 250."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from chappe.broker import RecordTooLarge
from chappe.clock import Clock
from chappe.events import RawDelivery
from chappe.ids import NewId
from chappe.tokens import Tokens
from chappe_ingest import metrics
from chappe_ingest.application.inlet import Inlet

KEPT_BYTES: Final = 512 * 1024
"""Of one mail, from its beginning: the report and the original's head come first."""

MAIL: Final = "mail"
RETURN: Final = "return"
KINDS: Final = frozenset("buf")
"""Bounces, wishes to leave, complaints of feedback loops."""

ADDRESSES_MAX: Final = 50
_LOCAL = re.compile(r"(?<![a-z0-9+_.-])([a-z][-+=][a-z2-7]{20,62})@", re.IGNORECASE)
_NAMES: Final = re.compile(
    rb"^(?:delivered-to|x-original-to|envelope-to|x-envelope-to|to|cc|x-forwarded-to|received)\s*:",
    re.IGNORECASE,
)
HEAD_BYTES_MAX: Final = 65_536


@dataclass(frozen=True, slots=True)
class Recipient:
    """An address that we signed: what it is for, and which message it names."""

    kind: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """Takes returned mail, however it comes."""

    tokens: Tokens
    inlet: Inlet
    business: Clock
    wall: Clock
    new_id: NewId

    def recipient(self, address: str) -> Recipient | None:
        """None for an address that is not ours or was forged."""
        opened = self.tokens.open_return(address.strip("<> ").rpartition("@")[0])
        if opened is None or opened[0] not in KINDS:
            return None
        return Recipient(*opened)

    def recipient_in(self, mail: bytes) -> Recipient | None:
        """The first of ours among the addresses in a mail's head."""
        for address in _addresses(mail):
            if (found := self.recipient(address)) is not None:
                return found
        return None

    async def keep(
        self, recipient: Recipient, mail: bytes, *, via: str, id_: str | None = None
    ) -> None:
        """Durably. Raises ``LogAway``: then the mail is still its sender's."""
        delivery = RawDelivery(
            id=id_ or self.new_id("raw_"),
            provider=MAIL,
            endpoint=RETURN,
            received_at=self.business.now(),
            received_wall=self.wall.now(),
            headers={
                "return-kind": recipient.kind,
                "return-message": recipient.message,
                "via": via,
            },
            body=mail[:KEPT_BYTES],
        )
        try:
            await self.inlet.delivery(delivery, f"{RETURN}/{recipient.message}")
        except RecordTooLarge:
            metrics.RETURNED_MAILS.labels(via, "too_large").inc()
            return
        metrics.RETURNED_MAILS.labels(via, "kept").inc()


def _addresses(mail: bytes) -> Iterable[str]:
    head = re.split(rb"\r?\n\r?\n", mail[:HEAD_BYTES_MAX], maxsplit=1)[0]
    fields = re.sub(rb"\r?\n[ \t]+", b" ", head).split(b"\n")
    found: list[str] = []
    for field in fields:
        if _NAMES.match(field):
            text = field.decode("ascii", "replace")
            found += [f"{match[1]}@" for match in _LOCAL.finditer(text)]
    return found[:ADDRESSES_MAX]
