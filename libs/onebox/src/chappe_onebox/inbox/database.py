"""The one file of the inbox: how mails lie in it, and the statements that touch them.

WAL with ``synchronous=full``: when a commit returns, its mails are on the disk. Contents lie in a
table of their own, uncompressed, so that lists and searches never walk over them.
"""

import datetime as dt
import itertools
import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from chappe.clock import UTC
from chappe_onebox.inbox.listing import Listing, NewMail
from chappe_onebox.inbox.parse import SNIPPET_BYTES, snippet_of
from chappe_onebox.inbox.search import EVERYTHING, Filter

VERSION: Final = 1
ROWS_PER_STATEMENT: Final = 500
SNIPPETS_KEPT: Final = 1_000

SCHEMA: Final = f"""
    create table mail (
        id                integer primary key autoincrement,  -- never used twice
        received_ms       integer not null,
        size              integer not null,
        message_id        text    not null,
        seen              integer not null default 0,
        return_path       text    not null,
        listing           text    not null,                   -- JSON, see listing.py
        folded_senders    text    not null,
        folded_recipients text    not null,
        folded_subject    text    not null
    );
    create index mail_message_id on mail (message_id);
    create table recipient (
        mail_id integer not null,
        address text    not null,                             -- lower case
        primary key (mail_id, address)
    ) without rowid;
    create index recipient_address on recipient (address, mail_id);
    create table body (mail_id integer primary key, raw blob not null);
    pragma user_version = {VERSION};
"""
PRAGMAS: Final = """
    pragma page_size = 16384;         -- a mail of 40 KB is 3 pages to write, not 10
    pragma journal_mode = wal;
    pragma synchronous = full;
    pragma wal_autocheckpoint = 1000;
    pragma journal_size_limit = 67108864;
    pragma cache_size = -2048;
    pragma busy_timeout = 5000;
"""

LAST_ID: Final = "select coalesce(max(seq), 0) from sqlite_sequence where name = 'mail'"
COUNTS: Final = "select count(*), count(*) filter (where not seen) from mail"
INSERT_MAILS: Final = """
    insert into mail (id, received_ms, size, message_id, return_path, listing,
                      folded_senders, folded_recipients, folded_subject)
    values """
INSERT_RECIPIENTS: Final = "insert into recipient (mail_id, address) values "
INSERT_BODIES: Final = "insert into body (mail_id, raw) values "
OLDEST: Final = """
    select max(id), count(*) filter (where not seen)
      from (select id, seen from mail order by id limit ?)
"""
DROP_UP_TO: Final = (
    "delete from body where mail_id <= ?",
    "delete from recipient where mail_id <= ?",
    "delete from mail where id <= ?",
)
DELETE_ALL: Final = ("delete from body", "delete from recipient", "delete from mail")
DELETE_ONE: Final = (
    "delete from body where mail_id = ?",
    "delete from recipient where mail_id = ?",
    "delete from mail where id = ?",
)
MARK_SEEN: Final = "update mail set seen = 1 where id = ? and not seen"
HAS: Final = "select exists (select 1 from mail where message_id = ?)"
PAGE: Final = """
    select id, received_ms, size, message_id, seen, return_path, listing
      from mail where {where} order by id desc limit ? offset ?
"""
MATCHING: Final = "select count(*) from mail where {where}"
BEGINNINGS: Final = "select mail_id, substr(raw, 1, ?) from body where mail_id in ({marks})"
ONE: Final = """
    select id, received_ms, size, message_id, seen, return_path, listing, raw
      from mail join body on body.mail_id = mail.id where id = ?
"""
LATEST: Final = "select max(id) from mail"


class InboxTooNewError(Exception):
    """The file was written by a newer version; open it with that one, or move it away."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One mail as listed."""

    id: int
    received_at: dt.datetime
    size: int
    message_id: str
    seen: bool
    return_path: str
    listing: Listing


@dataclass(frozen=True, slots=True)
class Counts:
    """How many mails there are, and how many nobody opened."""

    total: int
    unread: int


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, and lay it out when it is new.

    Raises:
        InboxTooNewError: a newer version wrote it.
        sqlite3.Error: it cannot be opened, or is no database.
    """
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=32
    )
    try:
        connection.executescript(PRAGMAS)
        (version,) = connection.execute("pragma user_version").fetchone()
        if version > VERSION:
            raise InboxTooNewError(
                f"{path} was written by a newer Chappe (layout {version}, not {VERSION}):"
                " start that version, or move the file away"
            )
        if version < VERSION:
            connection.executescript(f"begin immediate; {SCHEMA} commit;")
    except BaseException:
        connection.close()
        raise
    return connection


class Writer:
    """Everything that changes the file, and the look-ups that must see every change before them.

    Each method is a transaction of its own: when it returns, it is on the disk.
    """

    def __init__(self, connection: sqlite3.Connection, *, mails_kept: int) -> None:
        self._connection = connection
        self._mails_kept = mails_kept
        (self._last_id,) = connection.execute(LAST_ID).fetchone()
        self._total, self._unread = connection.execute(COUNTS).fetchone()

    @property
    def counts(self) -> Counts:
        return Counts(self._total, self._unread)

    def add(self, mails: Sequence[NewMail]) -> range:
        """Store these mails, all or none; drop the oldest beyond the limit. Gives their ids."""
        ids = range(self._last_id + 1, self._last_id + 1 + len(mails))
        numbered = list(zip(ids, mails, strict=True))
        with _Transaction(self._connection):
            # Whole groups in few statements: each step lets go of the interpreter lock and has
            # to win it back from a busy event loop.
            self._insert(INSERT_BODIES, ((number, mail.raw) for number, mail in numbered))
            self._insert(INSERT_MAILS, (_row(number, mail) for number, mail in numbered))
            self._insert(
                INSERT_RECIPIENTS,
                ((number, address) for number, mail in numbered for address in mail.addresses),
            )
            dropped, dropped_unread = self._drop(self._total + len(mails) - self._mails_kept)
        self._last_id = ids[-1]
        self._total += len(mails) - dropped
        self._unread += len(mails) - dropped_unread
        return ids

    def delete_all(self) -> None:
        with _Transaction(self._connection):
            for statement in DELETE_ALL:
                self._connection.execute(statement)
        self._total = self._unread = 0

    def delete(self, ids: Sequence[int]) -> None:
        rows = [(number,) for number in ids]
        with _Transaction(self._connection):
            for statement in DELETE_ONE:
                self._connection.executemany(statement, rows)
            counts = self._connection.execute(COUNTS).fetchone()
        self._total, self._unread = counts

    def mark_seen(self, number: int) -> None:
        self._unread -= self._connection.execute(MARK_SEEN, (number,)).rowcount

    def has(self, message_id: str) -> bool:
        return bool(self._connection.execute(HAS, (message_id,)).fetchone()[0])

    def close(self) -> None:
        self._connection.close()

    def _insert(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        remaining = iter(rows)
        while chunk := list(itertools.islice(remaining, ROWS_PER_STATEMENT)):
            marks = "(" + ",".join("?" * len(chunk[0])) + ")"
            self._connection.execute(
                statement + ",".join([marks] * len(chunk)),
                [value for row in chunk for value in row],
            )

    def _drop(self, count: int) -> tuple[int, int]:
        if count <= 0:
            return 0, 0
        last, unread = self._connection.execute(OLDEST, (count,)).fetchone()
        for statement in DROP_UP_TO:
            self._connection.execute(statement, (last,))
        return count, unread


class Reader:
    """Everything people look at."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._snippets: OrderedDict[int, str] = OrderedDict()

    def page(self, wanted: Filter, *, limit: int, start: int) -> list[Stored]:
        """Matching mails, newest first."""
        rows = self._connection.execute(
            PAGE.format(where=wanted.where), (*wanted.values, limit, start)
        )
        return [_stored(row) for row in rows]

    def count(self, wanted: Filter) -> int | None:
        """How many match; None for everything, which the writer counts."""
        if wanted == EVERYTHING:
            return None
        row = self._connection.execute(MATCHING.format(where=wanted.where), wanted.values)
        return row.fetchone()[0]

    def snippets(self, ids: Sequence[int]) -> dict[int, str]:
        """The first words of each mail; recent ones are remembered."""
        missing = [number for number in ids if number not in self._snippets]
        for at in range(0, len(missing), ROWS_PER_STATEMENT):
            chunk = missing[at : at + ROWS_PER_STATEMENT]
            rows = self._connection.execute(
                BEGINNINGS.format(marks=",".join("?" * len(chunk))), (SNIPPET_BYTES, *chunk)
            )
            self._snippets.update((number, snippet_of(beginning)) for number, beginning in rows)
        found = {number: self._snippets.get(number, "") for number in ids}
        while len(self._snippets) > SNIPPETS_KEPT:
            self._snippets.popitem(last=False)
        return found

    def one(self, number: int) -> tuple[Stored, bytes] | None:
        """A mail and its source."""
        row = self._connection.execute(ONE, (number,)).fetchone()
        return None if row is None else (_stored(row[:-1]), row[-1])

    def latest(self) -> int | None:
        return self._connection.execute(LATEST).fetchone()[0]

    def close(self) -> None:
        self._connection.close()


class _Transaction:
    """Begin, and commit or roll back; a failed commit is rolled back too."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("begin immediate")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._connection.execute("commit")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("rollback")


def _row(number: int, mail: NewMail) -> tuple[Any, ...]:
    return (
        number,
        round(mail.received_at.timestamp() * 1000),
        len(mail.raw),
        mail.message_id,
        mail.return_path,
        msgspec.json.encode(mail.listing).decode(),
        mail.folded_senders,
        mail.folded_recipients,
        mail.folded_subject,
    )


def _stored(row: Sequence[Any]) -> Stored:
    number, received_ms, size, message_id, seen, return_path, listing = row
    return Stored(
        id=number,
        received_at=dt.datetime.fromtimestamp(received_ms / 1000, UTC),
        size=size,
        message_id=message_id,
        seen=bool(seen),
        return_path=return_path,
        listing=msgspec.json.decode(listing, type=Listing),
    )
