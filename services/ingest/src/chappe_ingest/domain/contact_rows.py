"""Read a table of contacts as shops export it: UTF-8 or cp1252; comma, semicolon or tab.

A row that cannot be used is told by its number, and the others go on. A consent without its time
and its source is no consent that anybody could prove, so such a row is refused whole.
"""

import csv
import datetime as dt
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from chappe.events import Identifier
from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain.consent import CHANNELS, STATES
from chappe_ingest.domain.reading import Json, clean_text, iso, parse_time

TABLE_MAX_BYTES: Final = 32 * 1024 * 1024
ROWS_MAX: Final = 200_000
DELIMITERS: Final = ",;\t"
UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
COLUMNS_MAX: Final = 100
CELL_MAX_CHARS: Final = 2_000

_NAMES: Final = {
    "e_mail": "email",
    "email_address": "email",
    "e_mail_address": "email",
    "adresse_e_mail": "email",
    "mail": "email",
    "phone_number": "phone",
    "telephone": "phone",
    "id": "external_id",
    "user_id": "external_id",
    "customer_id": "external_id",
    "firstname": "first_name",
    "prenom": "first_name",
    "lastname": "last_name",
    "nom": "last_name",
    "language": "locale",
    "langue": "locale",
    "time_zone": "timezone",
    "pays": "country",
}
_WORDS: Final = {
    "yes": "subscribed",
    "true": "subscribed",
    "1": "subscribed",
    "oui": "subscribed",
    "opt_in": "subscribed",
    "no": "unsubscribed",
    "false": "unsubscribed",
    "0": "unsubscribed",
    "non": "unsubscribed",
    "opt_out": "unsubscribed",
}
_IDENTIFIERS: Final = ("external_id", "email", "phone")
_OWN: Final = frozenset(
    {*_IDENTIFIERS, *(f"consent_{c}{end}" for c in CHANNELS for end in ("", "_at", "_source"))}
)
_ACCENTS: Final = str.maketrans("éèêëàâîïôùûç", "eeeeaaiiouuc")


class NoTable(Exception):
    """The file cannot be read as a table; the message says why."""


@dataclass(frozen=True, slots=True)
class ContactRow:
    """One usable row. ``number`` is the line as a spreadsheet counts: the head is 1."""

    number: int
    identifiers: tuple[Identifier, ...]
    traits: Json


@dataclass(frozen=True, slots=True)
class BadRow:
    """``cell`` counts from 1; None: no cell is to blame."""

    number: int
    column: str
    what: str
    cell: int | None = None


def rows_of(content: bytes, namespace: str = "") -> Iterator[ContactRow | BadRow]:
    """Every row but empty ones. Raises ``NoTable`` before the first row."""
    return (row for row in table_of(content, namespace) if row is not None)


def table_of(
    content: bytes, namespace: str = "", *, first_row: int = 2, now: dt.datetime | None = None
) -> Iterator[ContactRow | BadRow | None]:
    """Every row, None for an empty one; the one under the head is ``first_row``.

    No consent may be from after ``now``. Raises ``NoTable`` before the first row.
    """
    text = _decoded(content)
    head, _, _ = text.partition("\n")
    delimiter = max(DELIMITERS, key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    nothing: list[str] = []
    try:
        columns = _columns(next(reader, nothing))
        return _read(reader, columns, namespace, first_row, now)
    except csv.Error as error:
        raise NoTable(f"not a table: {error}") from None


def _read(
    reader: Iterator[list[str]],
    columns: Sequence[str],
    namespace: str,
    first_row: int,
    now: dt.datetime | None,
) -> Iterator[ContactRow | BadRow | None]:
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
            yield BadRow(number, "", f"at most {ROWS_MAX} rows are read; cut the table")
            return
        if not any(cell.strip() for cell in cells):
            yield None
            continue
        if len(cells) > len(columns):
            yield BadRow(number, "", f"{len(cells)} cells under {len(columns)} columns")
            continue
        values = {
            column: clean_text(cell.strip())[:CELL_MAX_CHARS]
            for column, cell in zip(columns, cells, strict=False)
            if column and cell.strip()
        }
        row = _row(number, values, namespace, now)
        if isinstance(row, BadRow) and row.column in columns:
            row = replace(row, cell=columns.index(row.column) + 1)
        yield row


def _decoded(content: bytes) -> str:
    if not content.strip():
        raise NoTable("the table is empty")
    if content.startswith(UTF_16) or b"\0" in content[:4]:
        raise NoTable("not a text file: save the table as CSV in UTF-8")
    if len(content) > TABLE_MAX_BYTES:
        raise NoTable(f"at most {TABLE_MAX_BYTES} bytes are read at once; cut the table")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _columns(head: Sequence[str]) -> list[str]:
    if len(head) > COLUMNS_MAX:
        raise NoTable(f"{len(head)} columns; at most {COLUMNS_MAX} are read")
    columns = [_column(each) for each in head]
    named = [each for each in columns if each]
    twice = sorted({each for each in named if named.count(each) > 1})
    if twice:
        raise NoTable(f"these columns stand there twice: {', '.join(twice)}")
    if not any(each in _IDENTIFIERS for each in columns):
        raise NoTable("no column is named email, phone or external_id")
    return columns


def _column(spoken: str) -> str:
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", clean_text(spoken))
    name = re.sub(r"[^0-9a-z]+", "_", words.lower().translate(_ACCENTS)).strip("_")[:100]
    return _NAMES.get(name, name)


def _row(number: int, values: Json, namespace: str, now: dt.datetime | None) -> ContactRow | BadRow:
    made = {
        "external_id": ids.external_id(values.get("external_id"), namespace),
        "email": ids.email(values.get("email")),
        "phone": ids.phone(values.get("phone")),
    }
    for column, identifier in made.items():
        if column in values and identifier is None:
            return BadRow(number, column, f"no usable {column.replace('_', ' ')}")
    named = ids.distinct(*made.values())
    if not named:
        return BadRow(number, "", "names nobody: email, phone or external_id is needed")
    consent = _consent(number, values, now)
    if isinstance(consent, BadRow):
        return consent
    own = {
        *_IDENTIFIERS,
        *(f"consent_{c}{end}" for c in CHANNELS for end in ("", "_at", "_source")),
    }
    traits: Json = {name: value for name, value in values.items() if name not in own}
    if consent:
        traits["consent"] = consent
    return ContactRow(number, named, traits)


def _consent(number: int, values: Json, now: dt.datetime | None) -> Json | BadRow:
    claims: Json = {}
    for channel in CHANNELS:
        column = f"consent_{channel}"
        said = values.get(column)
        if said is None:
            continue
        word = re.sub(r"[ -]", "_", said.lower())
        state = _WORDS.get(word, word)
        if state not in STATES:
            return BadRow(number, column, "neither subscribed, unsubscribed nor pending")
        at, source = values.get(f"{column}_at"), values.get(f"{column}_source")
        when = parse_time(at) if at is not None else None
        if when is None:
            return BadRow(number, f"{column}_at", "a consent needs the time when it was given")
        if now is not None and when > now:
            return BadRow(number, f"{column}_at", "a consent of the future")
        if source is None:
            return BadRow(
                number, f"{column}_source", "a consent needs its source: where it was given"
            )
        claims[channel] = {"state": state, "at": iso(when), "source": source}
    return claims
