"""Read a mail's head, however badly it is written.

The standard parser is made for mails that keep the rules and costs four times as much; the inbox
looks at every mail once on arrival, and mails come from strangers. Nothing here raises.
"""

import binascii
import re
from collections.abc import Sequence
from email.utils import getaddresses
from typing import Final, TypeAlias, TypedDict

Headers: TypeAlias = Sequence[tuple[str, str]]

HEAD_BYTES_MAX: Final = 262_144
#: Longer address lists are cut; 100 recipients take some 6,000.
ADDRESS_LIST_CHARS_MAX: Final = 20_000
HEADER_CHARS_MAX: Final = 2_000

_BLANK_LINE: Final = re.compile(rb"\r?\n\r?\n")
_NAME: Final = re.compile(r"[\x21-\x39\x3b-\x7e]+")
_ENCODED_WORD: Final = re.compile(r"=\?([^?*\s]+)(?:\*[^?\s]*)?\?([bBqQ])\?([^?]*)\?=")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class Mailbox(TypedDict):
    """One address as Mailpit writes it."""

    Name: str
    Address: str


def head_of(raw: bytes) -> bytes:
    """Everything before the first empty line, at most ``HEAD_BYTES_MAX``."""
    if raw.startswith((b"\r\n", b"\n")):
        return b""
    blank = _BLANK_LINE.search(raw, 0, HEAD_BYTES_MAX)
    return raw[: blank.start() if blank else HEAD_BYTES_MAX]


def parse_head(head: bytes) -> list[tuple[str, str]]:
    """Give names and unfolded values in order, encoded words still encoded.

    Bytes are read as UTF-8, and as Latin-1 when they are not; a line that is no header is skipped.
    """
    headers: list[tuple[str, str]] = []
    name, lines = "", [""]
    for line in [*printable(as_text(head)).split("\n"), ""]:
        if line[:1] in {" ", "\t"}:
            lines.append(line.strip())
            continue
        if name:
            headers.append((name, " ".join(lines).strip()))
        name, colon, value = line.partition(":")
        name = name.rstrip()
        if not colon or _NAME.fullmatch(name) is None:
            name = ""
        lines = [value.strip()]
    return headers


def first(headers: Headers, name: str) -> str:
    """The first header of that name (lower case), decoded and bounded; ``""`` without one."""
    return decoded(next((value for key, value in headers if key.lower() == name), ""))[
        :HEADER_CHARS_MAX
    ]


def mailboxes(headers: Headers, name: str) -> list[Mailbox]:
    """Every address in the headers of that name (lower case)."""
    text = ", ".join(value for key, value in headers if key.lower() == name)
    text = text[:ADDRESS_LIST_CHARS_MAX]
    if not text:
        return []
    try:
        pairs = getaddresses([text])
    except (RecursionError, IndexError, ValueError):  # "((((…" is a comment without an end
        return [Mailbox(Name=text[:HEADER_CHARS_MAX], Address="")]
    return [Mailbox(Name=decoded(name), Address=address) for name, address in pairs if address]


def message_id_of(headers: Headers) -> str:
    """The Message-ID without its angle brackets."""
    return bare_message_id(first(headers, "message-id"))


def bare_message_id(value: str) -> str:
    return value.strip().removeprefix("<").removesuffix(">").strip()


def decoded(value: str) -> str:
    """Turn RFC 2047 encoded words into text; what cannot be read is shown as replaced."""
    if "=?" not in value:
        return value
    parts: list[str] = []
    pending, charset, end = bytearray(), "", 0
    for word in _ENCODED_WORD.finditer(value):
        gap = value[end : word.start()]
        # Space between two encoded words is no text, and a character may be cut across them.
        joined = bool(charset) and not gap.strip()
        if not joined or word[1].lower() != charset:
            parts.append(as_text(bytes(pending), charset))
            pending.clear()
        if not joined:
            parts.append(gap)
        charset = word[1].lower()
        pending += _word_bytes(word[2].lower(), word[3])
        end = word.end()
    parts.append(as_text(bytes(pending), charset))
    parts.append(value[end:])
    return printable(" ".join("".join(parts).split("\n")))


def _word_bytes(encoding: str, text: str) -> bytes:
    data = text.encode()
    if encoding == "q":
        return binascii.a2b_qp(data, header=True)
    try:
        return binascii.a2b_base64(data + b"==")
    except binascii.Error:
        return data


def as_text(data: bytes, charset: str = "utf-8") -> str:
    """Decode bytes; an unknown charset, or one that does not fit, is read as Latin-1."""
    try:
        return data.decode(charset or "utf-8")
    except (LookupError, ValueError):
        return data.decode("latin-1")


def printable(text: str) -> str:
    """Without control characters (tab and newline stay) and lone surrogates: fit for JSON."""
    text = _UNPRINTABLE.sub("", text)
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
