"""Small readings that every kind of returned mail needs: addresses, one-line reasons, originals."""

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from chappe_sender.domain.bounces import mime
from chappe_sender.domain.bounces.events import REASON_LETTERS_MAX
from chappe_sender.domain.bounces.mime import Part

ADDRESS: Final = (
    r"(?<![\w.+%=!#$&'*/?^`{|}~-])[\w.+%=!#$&'*/?^`{|}~-]{1,64}@(?:[\w-]{1,63}\.){1,8}[\w-]{2,63}"
)
"""Roughly RFC 5321, quoted local parts and address literals left out."""

_ADDRESS = re.compile(ADDRESS)
_QUOTED = re.compile(r'"[^"\n]{1,64}"@(?:[\w-]{1,63}\.){1,8}[\w-]{2,63}')
_ODD = re.compile(r"<?([^\s<>@;,]{1,64}@[\w.\[\]:-]{1,255}?)>?")
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_TAG = re.compile(r"<(?!mailto:)/?[a-zA-Z!][^<>@]{0,2000}>")
_UNSEEN = re.compile(r"<(style|script|head)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_BREAK = re.compile(r"<(?:br|/p|/div|/tr|/h\d|/li|/td)\b[^<>]{0,500}>", re.IGNORECASE)
_ROBOTS: Final = (
    "mailer-daemon", "mailerdaemon", "postmaster", "mdaemon", "daemon", "no-reply", "noreply",
    "microsoftexchange", "mail-daemon", "abuse",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Original:
    """What the returned mail still shows of the one we sent."""

    message_id: str | None = None
    message: str | None = None
    to: str | None = None
    sender: str | None = None


def address(text: str) -> str | None:
    """The first address in ``text``."""
    return next(addresses(text), None)


def addresses(text: str) -> Iterator[str]:
    """Every address in ``text``, in order, repeats kept."""
    if "@" not in text:
        return
    for match in _ADDRESS.finditer(text):
        yield match[0].strip(".'").removeprefix("mailto:")
    for match in _QUOTED.finditer(text):
        yield match[0]


def report_address(value: str) -> str | None:
    """RFC 3464's ``type; address``, xtext read where it was used."""
    kind, separator, rest = value.partition(";")
    text = rest if separator else kind
    found = address(text) or _odd(text)
    if found is None or "+" not in found:
        return found
    return address(_XTEXT.sub(lambda m: chr(int(m[1], 16)), text)) or found


def _odd(text: str) -> str | None:
    """What a field gives as an address, be its domain a bare name or a literal."""
    match = _ODD.fullmatch(text.strip())
    return match[1] if match else None


def one_line(text: str) -> str | None:
    """A reason that fits a report, or nothing."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text[:4000]).split())
    return flat[:REASON_LETTERS_MAX] or None


def is_robot(found: str) -> bool:
    """Whether an address is a mail system's own."""
    return found.lower().startswith(_ROBOTS)


def readable(part: Part) -> str:
    """What a human would read of a mail: its text parts, or else its HTML without tags."""
    plain = [p.text for p in part.own() if p.kind in {"text/plain", "text", ""} and not p.parts]
    text = "\n\n".join(plain).strip()
    if text:
        return text
    return "\n\n".join(_untagged(p.text) for p in part.own() if p.kind == "text/html")


def original(part: Part) -> Original:
    """The mail that came back, from the copy or the headers attached."""
    for each in part.walk():
        if each.kind in {"message/rfc822", "message/global"} and each.parts:
            return original_of(each.parts[0].headers)
        if each.kind in {"text/rfc822-headers", "message/rfc822-headers", "message/global-headers"}:
            encoding = each.get("content-transfer-encoding").strip().lower()
            return original_of(mime.headers(mime.decoded(each.body, encoding).lstrip(b"\n")))
    return Original()


def original_of(headers: Iterable[tuple[str, str]]) -> Original:
    found: dict[str, str] = {}
    for name, value in headers:
        found.setdefault(name, value)
    return Original(
        message_id=bare(found.get("message-id", "")),
        message=one_line(found.get("chappe-message", "")),
        to=address(found.get("to", "")),
        sender=address(found.get("from", "")),
    )


def bare(message_id: str) -> str | None:
    """A Message-ID without brackets and comments, or nothing."""
    match = re.search(r"<([^<>\s]{1,300})>", message_id)
    return match[1] if match else (message_id.strip()[:300] or None)


def _untagged(text: str) -> str:
    return html.unescape(_TAG.sub("", _BREAK.sub("\n", _UNSEEN.sub("", text[:200_000]))))
