"""Read a list of suppressed addresses as mail providers export it.

Ours has the columns email, reason, at, source; the headings of Mailchimp, Klaviyo, SendGrid,
Postmark, Amazon SES, Mailgun and Brevo are known too. A row that cannot be used is told by its
number, and the others go on.
"""

import csv
import datetime as dt
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Final

from chappe_sender.domain.addresses import address_key, parse_address

TABLE_MAX_BYTES: Final = 8 * 1024 * 1024
ROWS_MAX: Final = 100_000
COLUMNS_MAX: Final = 100
SOURCE_MAX_CHARS: Final = 200
DELIMITERS: Final = ",;\t"

REASONS: Final = ("unsubscribed", "complained", "bounced", "manual")

_NAMES: Final = {
    "e_mail": "email",
    "email_address": "email",
    "emailaddress": "email",
    "e_mail_address": "email",
    "address": "email",
    "recipient": "email",
    "mail": "email",
    "suppressionreason": "reason",
    "suppression_reason": "reason",
    "reason_for_suppression": "reason",
    "error": "reason",
    "code": "status",
    "suppressed_at": "at",
    "suppression_date": "at",
    "suppression_timestamp": "at",
    "date_suppressed": "at",
    "suppressed_on": "at",
    "timestamp": "at",
    "date": "at",
    "created": "at",
    "created_at": "at",
    "createdat": "at",
    "lastupdatetime": "at",
    "last_update_time": "at",
    "blocked_at": "at",
    "blockedat": "at",
    "origin": "source",
}
"""Headings of ours and of vendors, in the form that ``_column`` gives them."""

_BY_HEADING: Final = {
    "unsub_time": "unsubscribed",
    "clean_time": "bounced",
    "unsubscribed_at": "unsubscribed",
    "bounced_at": "bounced",
    "complained_at": "complained",
}
"""Times whose heading says the reason: Mailchimp exports one file per reason."""

_WORDS: Final = (
    ("unsubscribed", re.compile(r"unsub|opt.?out|list.?unsub|preference")),
    ("complained", re.compile(r"complain|spam.?report|abuse|^spam\b")),
    (
        "bounced",
        re.compile(
            r"bounce|invalid|undeliver|not exist|unknown|no such|cleaned|^5\d\d|\b5\.\d+\.\d+"
        ),
    ),
)
_TEMPORARY: Final = re.compile(r"^(?:4\d\d\b|4\.\d{1,3}\.\d{1,3})|soft.?bounce", re.IGNORECASE)
_FORMS: Final = ("%Y-%m-%d %H:%M:%S", "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%b %d, %Y %I:%M %p")
_EPOCH_MS: Final = 100_000_000_000


class NoTable(Exception):
    """The file cannot be read as a table; the message says why."""


@dataclass(frozen=True, slots=True)
class SuppressionRow:
    """One usable row. ``number`` counts as a spreadsheet does: the head is 1.

    ``at`` None: the export does not say.
    """

    number: int
    address: str
    reason: str
    at: dt.datetime | None
    source: str | None


@dataclass(frozen=True, slots=True)
class BadRow:
    """``cell`` counts from 1; None: no cell is to blame."""

    number: int
    column: str
    what: str
    cell: int | None = None


def table_of(
    content: bytes, *, reason: str | None = None, first_row: int = 2
) -> Iterator[SuppressionRow | BadRow | None]:
    """Every row, None for an empty one. ``reason``: of rows that say none.

    Raises ``NoTable`` before the first row.
    """
    text = _decoded(content)
    head, _, _ = text.partition("\n")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(DELIMITERS, key=head.count))
    nothing: list[str] = []
    try:
        columns, implied = _columns(next(reader, nothing))
    except csv.Error as error:
        raise NoTable(f"not a table: {error}") from None
    return _read(reader, columns, reason or implied or "manual", first_row)


def _read(
    reader: Iterator[list[str]], columns: Sequence[str], reason: str, first_row: int
) -> Iterator[SuppressionRow | BadRow | None]:
    number = first_row - 1
    while True:
        number += 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield BadRow(number, "", f"not a row of a table: {error}")
            return
        if cells is None:
            return
        if number >= first_row + ROWS_MAX:
            yield BadRow(number, "", f"at most {ROWS_MAX} rows are read at once; cut the table")
            return
        if not any(cell.strip() for cell in cells):
            yield None
            continue
        values = {
            column: cell.strip() for column, cell in zip(columns, cells, strict=False) if column
        }
        row = _row(number, values, reason)
        if isinstance(row, BadRow) and row.column in columns:
            row = replace(row, cell=columns.index(row.column) + 1)
        yield row


def _row(number: int, values: dict[str, str], reason: str) -> SuppressionRow | BadRow:
    address = values.get("email", "")
    if parse_address(address) is None:
        return BadRow(number, "email", "not an e-mail address")
    if "\0" in "".join(values.values()):
        return BadRow(number, "email", "not text")
    said = values.get("reason") or ""
    if _TEMPORARY.search(values.get("status") or said):
        column = "status" if values.get("status") else "reason"
        return BadRow(number, column, "a temporary failure suppresses nobody")
    at = None
    if values.get("at"):
        at = _time(values["at"])
        if at is None:
            return BadRow(number, "at", "not a time; write it as 2026-11-22T09:30:00Z")
    source = values.get("source") or None
    return SuppressionRow(
        number,
        address_key(address),
        reason_of(said, values.get("status", ""), reason),
        at,
        source[:SOURCE_MAX_CHARS] if source else None,
    )


def reason_of(said: str, status: str, default: str) -> str:
    """Which of ``REASONS`` a vendor's words mean."""
    word = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", said.strip()).lower()
    if word in REASONS:
        return word
    for reason, pattern in _WORDS:
        if pattern.search(word) or pattern.search(status.lower()):
            return reason
    return default


def _time(said: str) -> dt.datetime | None:
    """ISO 8601, seconds or milliseconds since 1970, RFC 2822, or as US vendors write it; UTC."""
    try:
        return _utc(_parsed(said.strip().removesuffix(" UTC")))
    except (ValueError, OverflowError, OSError, TypeError):
        return None


def _parsed(said: str) -> dt.datetime:
    if re.fullmatch(r"\d{9,13}(?:\.\d+)?", said):
        seconds = float(said)
        return dt.datetime.fromtimestamp(seconds / 1000 if seconds > _EPOCH_MS else seconds, dt.UTC)
    try:
        return dt.datetime.fromisoformat(said)
    except ValueError:
        pass
    for form in _FORMS:
        try:
            return dt.datetime.strptime(said, form).replace(tzinfo=dt.UTC)
        except ValueError:
            continue
    return parsedate_to_datetime(said)


def _utc(at: dt.datetime) -> dt.datetime:
    return at.replace(tzinfo=dt.UTC) if at.tzinfo is None else at.astimezone(dt.UTC)


def _decoded(content: bytes) -> str:
    if not content.strip():
        raise NoTable("the table is empty")
    if b"\0" in content:
        raise NoTable("not a text file: save the table as CSV in UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _columns(head: Sequence[str]) -> tuple[list[str], str | None]:
    """The columns in our words, and the reason that a heading implies."""
    if len(head) > COLUMNS_MAX:
        raise NoTable(f"{len(head)} columns; at most {COLUMNS_MAX} are read")
    spoken = [_column(each) for each in head]
    implied = next((_BY_HEADING[name] for name in spoken if name in _BY_HEADING), None)
    columns: list[str] = []
    for name in ["at" if name in _BY_HEADING else _NAMES.get(name, name) for name in spoken]:
        columns.append("" if name in columns else name)
    if "email" not in columns:
        raise NoTable("no column is named email")
    return columns, implied


def _column(spoken: str) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", spoken)
    return re.sub(r"[^0-9a-z]+", "_", words.lower()).strip("_")[:100]
