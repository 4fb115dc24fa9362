"""Take a whole mail apart for the person who opened it.

Mails come from strangers: a charset that does not exist, parts nested a thousand deep or a date in
the year zero must still give something to look at.
"""

import datetime as dt
import html
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Final, TypeAlias

from chappe_onebox.inbox.headers import Headers, as_text, decoded, printable

Part: TypeAlias = "Message[str, str]"

PARTS_MAX: Final = 500
SNIPPET_CHARS: Final = 200
#: The beginning of a mail that its snippet is taken from.
SNIPPET_BYTES: Final = 16_384
_SKIPPED_ELEMENTS: Final = ("style", "script", "head", "title")


@dataclass(frozen=True, slots=True)
class Attachment:
    """One part that is a file."""

    part_id: str
    file_name: str
    content_type: str
    content_id: str
    content: bytes


@dataclass(slots=True)
class Content:
    """What a mail holds, as a reader shows it."""

    text: str = ""
    html: str = ""
    attachments: list[Attachment] = field(default_factory=list[Attachment])
    inline: list[Attachment] = field(default_factory=list[Attachment])


def read_content(raw: bytes) -> Content:
    """Texts and files of a mail; a part's id is its place in the mail, counted from 1."""
    content = Content()
    try:
        for place, part in enumerate(_leaves(message_from_bytes(raw)), start=1):
            _add_part(content, str(place), part)
    except (RecursionError, ValueError, LookupError, TypeError, AttributeError):
        # The standard parser raises on some broken mails; the source is then all there is to see.
        content.text = content.text or printable(as_text(raw))
    return content


def _leaves(message: Part) -> Iterator[Part]:
    for count, part in enumerate(message.walk()):
        if count >= PARTS_MAX:
            return
        if not part.is_multipart():
            yield part


def _add_part(content: Content, part_id: str, part: Part) -> None:
    kind = part.get_content_type()
    disposition = part.get_content_disposition()
    name = printable(decoded(str(part.get_filename() or "")))
    content_id = str(part.get("Content-ID", "")).strip(" <>")
    data = part.get_payload(decode=True)
    data = data if isinstance(data, bytes) else b""
    if disposition != "attachment" and not name:
        if kind == "text/plain":
            content.text += _part_text(part, data)
            return
        if kind == "text/html":
            content.html += _part_text(part, data)
            return
    is_inline = disposition == "inline" or (disposition is None and bool(content_id))
    files = content.inline if is_inline else content.attachments
    files.append(Attachment(part_id, name, printable(kind), printable(content_id), data))


def _part_text(part: Part, data: bytes) -> str:
    return printable(as_text(data, part.get_content_charset("utf-8"))).replace("\r\n", "\n")


def date_of(headers: Headers, otherwise: dt.datetime) -> dt.datetime:
    """The Date header, or the other instant when it cannot be read."""
    value = next((value for name, value in headers if name.lower() == "date"), "")
    try:
        date = parsedate_to_datetime(value)
        return (date if date.tzinfo else date.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return otherwise


def snippet_of(beginning: bytes) -> str:
    """The first words of a mail, from its first ``SNIPPET_BYTES``."""
    content = read_content(beginning[:SNIPPET_BYTES])
    words = " ".join((content.text or text_of_html(content.html)).split())
    return words[:SNIPPET_CHARS]


def text_of_html(document: str) -> str:
    """The words of an HTML document, in one pass whatever it is."""
    words: list[str] = []
    lower, at = document.lower(), 0
    while (tag := document.find("<", at)) >= 0:
        words.append(document[at:tag])
        at = _after_element(lower, tag)
        if at < 0:
            return _unescaped(words)
    words.append(document[at:])
    return _unescaped(words)


def _after_element(lower: str, tag: int) -> int:
    """Where text goes on after the tag, comment or skipped element at ``tag``; -1: nowhere."""
    if lower.startswith("<!--", tag):
        end = lower.find("-->", tag)
        return end + 3 if end >= 0 else -1
    for name in _SKIPPED_ELEMENTS:
        if lower.startswith(f"<{name}", tag) and lower[
            tag + 1 + len(name) : tag + 2 + len(name)
        ] in {
            " ",
            ">",
            "\n",
        }:
            close = lower.find(f"</{name}", tag)
            if close < 0:
                return -1
            tag = close
            break
    end = lower.find(">", tag)
    return end + 1 if end >= 0 else -1


def _unescaped(words: list[str]) -> str:
    return html.unescape(" ".join(words))
