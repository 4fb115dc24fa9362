"""Take a mail apart that anybody may have written: never raises, never goes deep.

The standard library's parser recurses as deep as a stranger asks for and raises on charsets; a
returned mail needs little more than headers, boundaries and two transfer encodings.
"""

import base64
import binascii
import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Final

MAIL_OCTETS_MAX: Final = 2_000_000
HEADERS_MAX: Final = 500
PARTS_MAX: Final = 100
DEPTH_MAX: Final = 8

_FIELD = re.compile(r"([!-9;-~]{1,100})[ \t]*:[ \t]*(.*)", re.DOTALL)
_WORD = re.compile(r"=\?([\w.:-]{1,40})(?:\*[\w-]*)?\?([bBqQ])\?([^?\s]{0,500})\?=")
_BETWEEN_WORDS = re.compile(r"(\?=)\s+(=\?)")
_PARAM = re.compile(r';\s*([\w*-]{1,40})\s*=\s*(?:"([^"]{0,300})"|([^\s;"]{1,300}))')
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")


@dataclass(frozen=True, slots=True)
class Part:
    """Header names are in lower case, values unfolded and decoded; ``body`` has LF line ends."""

    headers: list[tuple[str, str]]
    kind: str
    params: dict[str, str]
    body: bytes
    parts: list["Part"] = field(default_factory=list["Part"])

    def all(self, name: str) -> list[str]:
        return [value for each, value in self.headers if each == name]

    def get(self, name: str) -> str:
        """The first value of a header, or nothing."""
        return next((value for each, value in self.headers if each == name), "")

    def walk(self) -> Iterator["Part"]:
        yield self
        for part in self.parts:
            yield from part.walk()

    def own(self) -> Iterator["Part"]:
        """As ``walk``, but not into mails that this one only carries."""
        yield self
        if not self.kind.startswith("message/"):
            for part in self.parts:
                yield from part.own()

    @property
    def text(self) -> str:
        """The content as text, after transfer encoding and charset."""
        encoding = self.get("content-transfer-encoding").strip().lower()
        return decode(decoded(self.body, encoding), self.params.get("charset", ""))


def parse(raw: bytes) -> Part:
    """The mail, cut to ``MAIL_OCTETS_MAX``; lines may end in CRLF, LF or CR."""
    clean = raw[:MAIL_OCTETS_MAX].replace(b"\r\n", b"\n").replace(b"\r", b"\n").lstrip(b"\n")
    if clean.startswith(b"From "):  # an mbox line
        clean = clean.partition(b"\n")[2]
    return _part(clean, 0, [PARTS_MAX])


def headers(raw: bytes) -> list[tuple[str, str]]:
    """The fields of a header block, in order; a line that is no field is left out."""
    unfolded = re.sub(r"\n(?=[ \t])", "", decode(raw, ""))
    fields = (_FIELD.match(line) for line in unfolded.split("\n")[:HEADERS_MAX])
    return [(match[1].lower(), words(match[2].strip())) for match in fields if match]


def words(value: str) -> str:
    """RFC 2047's encoded words read."""
    if "=?" not in value:
        return value
    return _WORD.sub(_word, _BETWEEN_WORDS.sub(r"\1\2", value))


def decode(raw: bytes, charset: str) -> str:
    """Text by its charset; UTF-8 or else Windows-1252 when that is missing or wrong."""
    name = charset.strip().lower()
    try:
        if name not in {"", "us-ascii", "unknown-8bit", "x-unknown"}:
            return raw.decode(name, "replace")
    except (LookupError, ValueError, TypeError):
        pass
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def decoded(body: bytes, encoding: str) -> bytes:
    """The octets behind a transfer encoding; damaged base64 is read as far as it goes."""
    if encoding == "quoted-printable":
        return binascii.a2b_qp(body)
    if encoding == "base64":
        letters = _NOT_BASE64.sub(b"", body)
        letters = letters[: len(letters) // 4 * 4] if len(letters) % 4 == 1 else letters
        found = base64.b64decode(letters + b"=" * (-len(letters) % 4))
        return found.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return body


def date(value: str) -> dt.datetime | None:
    """RFC 5322's date, or nothing; without a zone it is taken as UTC."""
    try:
        found = parsedate_to_datetime(value[:100])
        return (found if found.tzinfo else found.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _part(raw: bytes, depth: int, left: list[int]) -> Part:
    left[0] -= 1
    if raw.startswith(b"\n"):
        head, body = b"", raw[1:]
    else:
        head, _, body = raw.partition(b"\n\n")
    found = headers(head)
    line = next((value for name, value in found if name == "content-type"), "text/plain")
    kind = line.partition(";")[0].strip().lower()
    params = {m[1].lower(): m[2] or m[3] or "" for m in _PARAM.finditer(line)}
    part = Part(found, kind, params, body)
    if depth < DEPTH_MAX:
        part.parts.extend(_children(part, depth + 1, left))
    return part


def _children(part: Part, depth: int, left: list[int]) -> Iterator[Part]:
    if part.kind in {"message/rfc822", "message/global"}:
        encoding = part.get("content-transfer-encoding").strip().lower()
        if left[0] > 0:
            yield _part(decoded(part.body, encoding).lstrip(b"\n"), depth, left)
        return
    boundary = part.params.get("boundary", "").rstrip()
    if not part.kind.startswith("multipart/") or not boundary:
        return
    edge = b"\n--" + boundary.encode("utf-8", "replace")
    for piece in (b"\n" + part.body).split(edge)[1:]:
        if piece.startswith(b"--") or left[0] <= 0:
            return
        yield _part(piece.partition(b"\n")[2], depth, left)


def _word(match: re.Match[str]) -> str:
    raw = match[3].encode("utf-8", "replace")
    if match[2] in "bB":
        return decode(decoded(raw, "base64"), match[1])
    return decode(binascii.a2b_qp(raw, header=True), match[1])
