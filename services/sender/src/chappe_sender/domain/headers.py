"""Header lines that cannot be anything else: no value may hold a line break or a NUL."""

import base64
import functools
import re
from collections.abc import Iterator

from chappe_sender.domain.addresses import Mailbox

LINE_LETTERS_SOFT = 76
WORD_OCTETS_MAX = 45
"""So that an encoded word stays within RFC 2047's 75 letters."""

_CONTROLS = re.compile(r"[\x00-\x1f\x7f\u2028\u2029\x85]")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,60}")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")


class HeaderError(ValueError):
    """A header value that could have become a second header."""


def header(name: str, value: str) -> bytes:
    """One header as it goes on the wire, folded at blanks. Raises ``HeaderError``."""
    if not _NAME.fullmatch(name) or (not value.isprintable() and _CONTROLS.search(value)):
        raise HeaderError(f"{name}: control character in the value")
    return f"{name}: {_fold(value, len(name) + 2)}\r\n".encode()


def _fold(value: str, column: int) -> str:
    if column + len(value) <= LINE_LETTERS_SOFT:
        return value
    out: list[str] = []
    for word in value.split(" "):
        if out and column + len(word) + 1 > LINE_LETTERS_SOFT and word:
            out.append(f"\r\n {word}")
            column = len(word) + 1
        else:
            out.append(word if not out else f" {word}")
            column += len(word) + 1
    return "".join(out)


def one_line(text: str, limit: int) -> str:
    """``text`` with every run of blanks or control characters as one blank, cut to ``limit``."""
    flat = re.sub(r"\s+", " ", _CONTROLS.sub(" ", text)).strip()
    return flat if len(flat) <= limit else flat[: limit - 1].rstrip() + "…"


def encode_words(text: str) -> str:
    """RFC 2047: as it is when ASCII, else base64 words cut between characters."""
    if text.isascii() and "=?" not in text:
        return text
    return " ".join(
        f"=?utf-8?b?{base64.b64encode(chunk).decode('ascii')}?=" for chunk in _chunks(text)
    )


def _chunks(text: str) -> Iterator[bytes]:
    chunk = b""
    for letter in text:
        raw = letter.encode("utf-8", "replace")
        if len(chunk) + len(raw) > WORD_OCTETS_MAX:
            yield chunk
            chunk = b""
        chunk += raw
    if chunk:
        yield chunk


@functools.lru_cache(maxsize=1024)
def encode_mailbox(mailbox: Mailbox) -> str:
    """``Name <address>`` with the name as atoms, a quoted string or encoded words."""
    name = one_line(mailbox.name, 200)
    if not name:
        return str(mailbox.address)
    if not name.isascii() or "=?" in name:
        shown = encode_words(name)
    elif _ATOMS.fullmatch(name):
        shown = name
    else:
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        shown = f'"{escaped}"'
    return f"{shown} <{mailbox.address}>"
