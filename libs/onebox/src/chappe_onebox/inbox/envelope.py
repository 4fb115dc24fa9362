"""Read the argument of MAIL and RCPT: a path and its parameters (RFC 5321 §4.1.2)."""

import re
from dataclasses import dataclass
from typing import Final

ADDRESS_CHARS_MAX: Final = 320

_PATH: Final = re.compile(r'\s*<((?:"(?:[^"\\]|\\.)*"|[^<>"])*)>[ \t]*(.*)', re.DOTALL)
_MAILBOX: Final = re.compile(
    r"""(?:"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*"      # a quoted local part
          |[^\s@"<>,;:\\()\[\]\x00-\x1f\x7f]+)           # or a plain one
        @(?:\[[^\s\[\]\\\x00-\x1f\x7f]+\]                # an address literal
           |[^\s@"<>,;:\\()\[\]\x00-\x1f\x7f]+)          # or a domain
    """,
    re.VERBOSE,
)


class Refused(Exception):
    """The command is answered with this reply and changes nothing."""

    def __init__(self, reply: str) -> None:
        super().__init__(reply)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Path:
    """An address as given, ``""`` for the null sender, and parameters with upper-case names."""

    address: str
    parameters: dict[str, str | None]


def parse_path(argument: str, keyword: str, *, may_be_empty: bool) -> Path:
    """Read ``FROM:<…> …`` or ``TO:<…> …``.

    A source route is dropped, as RFC 5321 appendix C allows.

    Raises:
        Refused: with 501 or 553, for what is not a path.
    """
    head, colon, rest = argument.partition(":")
    match = _PATH.fullmatch(rest)
    if not colon or head.strip().upper() != keyword or match is None:
        raise Refused(f"501 5.5.4 Syntax: {keyword}:<address>")
    address = match[1]
    if address.startswith("@") and ":" in address:
        address = address.split(":", 1)[1]
    _check(address, may_be_empty=may_be_empty)
    return Path(address, _parameters(match[2]))


def _check(address: str, *, may_be_empty: bool) -> None:
    if not address and may_be_empty:
        return
    if len(address) > ADDRESS_CHARS_MAX:
        raise Refused("553 5.1.3 The address is too long")
    if address.lower() != "postmaster" and _MAILBOX.fullmatch(address) is None:
        raise Refused("553 5.1.3 This is not an address")


def _parameters(text: str) -> dict[str, str | None]:
    parameters: dict[str, str | None] = {}
    for word in text.split():
        name, equals, value = word.partition("=")
        parameters[name.upper()] = value if equals else None
    return parameters
