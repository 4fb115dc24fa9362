"""What the wire needs to know of a message."""

import re
from dataclasses import dataclass

_ADDRESS = re.compile(r"[^\x00-\x20\x7f<>]+")
ADDRESS_OCTETS_MAX = 320


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who a message is from and to, and its bytes. One recipient per transaction.

    Content is whole lines ending in CRLF; ``utf8`` asks for SMTPUTF8.
    """

    sender: str
    recipient: str
    content: bytes
    utf8: bool = False

    def __post_init__(self) -> None:
        for address in (self.sender, self.recipient):
            if not _ADDRESS.fullmatch(address) or len(address.encode()) > ADDRESS_OCTETS_MAX:
                raise ValueError("an envelope address holds blanks, brackets or control characters")
        # Counting pairs would cost six times more, for every mail.
        whole = self.content.replace(b"\r", b"").replace(b"\n", b"\r\n")
        if whole != self.content or not whole.endswith(b"\r\n"):
            raise ValueError("content must be lines that end in CRLF")
