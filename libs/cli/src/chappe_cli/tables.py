"""Send a CSV file in pieces: bounded in memory, with a bar, going on after a lost connection."""

import codecs
import csv
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from chappe.clock import monotonic
from chappe_cli.failure import BAD_INPUT, CANNOT_REACH, Failure

if TYPE_CHECKING:
    from rich.progress import Progress

PIECE_ROWS: Final = 2_000
PIECE_CHARS: Final = 1024 * 1024
READ_BYTES: Final = 1024 * 1024
HEAD_BYTES_MAX: Final = 64 * 1024
DELIMITERS: Final = ",;\t"
UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
ERRORS_MAX: Final = 1_000
"""Bad rows that are told one by one; all are counted."""

PATIENCE_SECONDS: Final = 120
"""How long a server that went away is waited for."""

WAIT_SECONDS_MAX: Final = 10.0
FIRST_ROW: Final = 2
HTTP_SERVER_ERROR: Final = 500
TOO_MANY: Final = 429


@dataclass(frozen=True, slots=True)
class Row:
    """A record as it stands in the file, and the line where it begins."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Piece:
    """The head and some rows, as a table of its own; ``more``: others follow."""

    head: str
    first_row: int
    rows: list[Row]
    more: bool

    @property
    def content(self) -> bytes:
        return (self.head + "".join(row.text for row in self.rows)).encode()


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV file. ``digest`` names its content."""

    path: Path
    size: int
    digest: str
    encoding: str
    delimiter: str

    def pieces(self) -> Iterator[Piece]:
        """The rows in their order. Raises ``Failure`` with the place of what is no CSV."""
        tap = _Tap()
        with self.path.open("r", encoding=self.encoding, errors="replace", newline="") as file:
            tap.lines = iter(file)
            reader = csv.reader(tap, delimiter=self.delimiter)
            try:
                yield from self._pieces(reader, tap)
            except csv.Error as error:
                wrong = {"where": f"{self.path}:{tap.line}:1", "what": f"not a row: {error}"}
                raise Failure(f"{self.path} is no table", BAD_INPUT, [wrong]) from error

    def _pieces(self, reader: Iterator[list[str]], tap: "_Tap") -> Iterator[Piece]:
        next(reader, None)
        head = _ended(tap.take().text)
        number, chars = FIRST_ROW, 0
        rows: list[Row] = []
        for _ in reader:
            if len(rows) >= PIECE_ROWS or chars >= PIECE_CHARS:
                yield Piece(head, number, rows, more=True)
                number, rows, chars = number + len(rows), [], 0
            row = tap.take()
            rows.append(Row(row.line, _ended(row.text)))
            chars += len(row.text)
        yield Piece(head, number, rows, more=False)

    def place(self, row: Row, cell: int | None) -> str:
        """``file:line:col`` of a cell, the first being 1."""
        line, col = row.line, 1
        quoted, at, left = False, row.text, (cell or 1) - 1
        for letter in at:
            if left == 0:
                break
            if letter == '"':
                quoted = not quoted
            if letter == "\n":
                line, col = line + 1, 1
                continue
            col += 1
            if letter == self.delimiter and not quoted:
                left -= 1
        return f"{self.path}:{line}:{col}"


class _Tap:
    """Lines on their way to the reader, kept until somebody takes what made up one record."""

    def __init__(self) -> None:
        self.lines: Iterator[str] = iter(())
        self.line = 0
        self._kept: list[str] = []
        self._begun = 1

    def __iter__(self) -> "_Tap":
        return self

    def __next__(self) -> str:
        line = next(self.lines)
        self.line += 1
        self._kept.append(line)
        return line

    def take(self) -> Row:
        row = Row(self._begun, "".join(self._kept))
        self._kept.clear()
        self._begun = self.line + 1
        return row


def open_table(path: Path) -> Table:
    """Look through a file once. Raises ``Failure`` when it is no text or empty."""
    digest = hashlib.sha256()
    utf8 = codecs.getincrementaldecoder("utf-8")()
    is_utf8, size, head = True, 0, b""
    with path.open("rb") as file:
        while block := file.read(READ_BYTES):
            digest.update(block)
            size += len(block)
            head = head or block[:HEAD_BYTES_MAX]
            is_utf8 = is_utf8 and _decodes(utf8, block)
    if head.startswith(UTF_16) or b"\0" in head[:4]:
        raise _no_table(path, "not a text file: save the table as CSV in UTF-8")
    if not head.strip():
        raise _no_table(path, "the table is empty")
    is_utf8 = is_utf8 and _decodes(utf8, b"", final=True)
    encoding = "utf-8-sig" if is_utf8 else "cp1252"
    first, _, _ = head.decode(encoding, "replace").partition("\n")
    delimiter = max(DELIMITERS, key=first.count)
    return Table(path, size, digest.hexdigest(), encoding, delimiter)


@dataclass(slots=True)
class Sent:
    """What became of a file."""

    skipped: int = 0
    taken: int = 0
    refused: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    answers: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


Post = Callable[[Piece, int], dict[str, Any]]
"""Sends the rows of a piece from a row on."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends a table piece by piece. ``post`` may fail; then it is tried again for a while."""

    table: Table
    post: Post
    patience_seconds: float
    sleep: Callable[[float], None] = time.sleep

    def send(self, bar: "Progress", *, next_row: int = FIRST_ROW) -> Sent:
        """Rows before ``next_row`` are left out. Raises ``Failure``."""
        sent = Sent()
        task = bar.add_task(self.table.path.name, total=self.table.size)
        for piece in self.table.pieces():
            behind = piece.first_row + len(piece.rows)
            sent.skipped += min(max(next_row - piece.first_row, 0), len(piece.rows))
            if behind > next_row or (piece.first_row == FIRST_ROW and not piece.rows):
                self._piece(piece, max(next_row, piece.first_row), sent)
            bar.advance(task, sum(len(row.text.encode()) for row in piece.rows))
        bar.update(task, completed=self.table.size)
        return sent

    def _piece(self, piece: Piece, from_row: int, sent: Sent) -> None:
        deadline = monotonic() + self.patience_seconds
        wait = 0.5
        while True:
            answer = self._answer(piece, from_row, last_try=monotonic() >= deadline)
            if answer is not None:
                self._add(answer, piece, sent)
                if answer.get("next_row") is None:
                    return
                from_row = answer["next_row"]
                if monotonic() >= deadline:
                    raise _stopped(from_row, "its log is away")
            self.sleep(wait)
            wait = min(wait * 2, WAIT_SECONDS_MAX)

    def _answer(self, piece: Piece, from_row: int, *, last_try: bool) -> dict[str, Any] | None:
        from chappe_onebox.client import Refused, Unreachable

        try:
            return self.post(piece, from_row)
        except Unreachable as error:
            if last_try:
                raise _stopped(from_row, str(error)) from error
        except Refused as error:
            if error.status < HTTP_SERVER_ERROR and error.status != TOO_MANY:
                wrong = [{"where": f"{self.table.path}:1:1", "what": str(error)}]
                raise Failure(f"{self.table.path} cannot be used", BAD_INPUT, wrong) from error
            if last_try:
                raise _stopped(from_row, str(error)) from error
        return None

    def _add(self, answer: dict[str, Any], piece: Piece, sent: Sent) -> None:
        sent.taken += answer["taken"]
        sent.refused += answer["refused"]
        sent.answers.append({key: answer.get(key) for key in ("id", "new")})
        wrong: list[dict[str, Any]] = answer["errors"]
        for each in wrong:
            if len(sent.errors) >= ERRORS_MAX:
                return
            at: int = each["row"] - piece.first_row
            row = piece.rows[at] if 0 <= at < len(piece.rows) else Row(1, "")
            what = f"{each['column']}: {each['what']}" if each["column"] else each["what"]
            where = self.table.place(row, each.get("cell"))
            sent.errors.append({"where": where, "what": what, "row": each["row"]})


def bar(*, hidden: bool) -> "Progress":
    """On stderr, where a person looks."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    return Progress(console=console, disable=hidden or not console.is_terminal)


def _stopped(row: int, why: str) -> Failure:
    return Failure(
        f"stopped before row {row}: {why}. Run the same command again: it goes on there",
        CANNOT_REACH,
    )


def _no_table(path: Path, why: str) -> Failure:
    return Failure(f"{path} is no table", BAD_INPUT, [{"where": f"{path}:1:1", "what": why}])


def _decodes(decoder: codecs.IncrementalDecoder, block: bytes, *, final: bool = False) -> bool:
    try:
        decoder.decode(block, final)
    except UnicodeDecodeError:
        return False
    return True


def _ended(text: str) -> str:
    return text if text.endswith(("\n", "\r")) else text + "\n"
