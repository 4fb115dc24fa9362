"""A CSV file on its way to the server: in pieces, on after a break, bad rows by their place."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chappe_cli import tables
from chappe_cli.failure import BAD_INPUT, CANNOT_REACH, Failure
from chappe_onebox.client import Refused, Unreachable

FINE: dict[str, Any] = {"id": "imp_1", "refused": 0, "errors": [], "next_row": None}


@pytest.fixture
def written(tmp_path: Path) -> Callable[[bytes], tables.Table]:
    def write(content: bytes) -> tables.Table:
        file = tmp_path / "people.csv"
        file.write_bytes(content)
        return tables.open_table(file)

    return write


def test_a_long_table_goes_in_pieces_that_each_have_the_head(
    written: Callable[[bytes], tables.Table],
) -> None:
    lines = [f'{n}@x.example,"two\nlines"' for n in range(4_500)]
    pieces = list(written("\n".join(["email,note", *lines]).encode()).pieces())
    assert [piece.first_row for piece in pieces] == [2, 2_002, 4_002]
    assert [piece.more for piece in pieces] == [True, True, False]
    assert all(piece.content.startswith(b"email,note\n") for piece in pieces)
    assert pieces[1].rows[0].line == 2 + 2 * 2_000
    assert sum(len(piece.rows) for piece in pieces) == 4_500


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_whatever_the_encoding_it_goes_out_as_utf_8(
    written: Callable[[bytes], tables.Table], encoding: str, delimiter: str
) -> None:
    table = written(f"email{delimiter}nom\r\na@x.example{delimiter}Zoé\r\n".encode(encoding))
    (piece,) = table.pieces()
    assert table.delimiter == delimiter
    assert piece.content == f"email{delimiter}nom\r\na@x.example{delimiter}Zoé\r\n".encode()


def test_a_cell_is_found_by_line_and_column(written: Callable[[bytes], tables.Table]) -> None:
    table = written(b'email,note,phone\na@x.example,"one, two\nthree",12\n')
    (piece,) = table.pieces()
    assert table.place(piece.rows[0], 3) == f"{table.path}:3:8"
    assert table.place(piece.rows[0], 1) == f"{table.path}:2:1"


@pytest.mark.parametrize("content", [b"", b" \n", b"e\0m\0a\0i\0l"])
def test_what_is_no_table_is_bad_input_with_its_place(
    written: Callable[[bytes], tables.Table], content: bytes
) -> None:
    with pytest.raises(Failure) as failed:
        written(content)
    assert failed.value.code == BAD_INPUT
    assert failed.value.errors[0]["where"].endswith("people.csv:1:1")


class Server:
    """Takes rows, is away now and then."""

    def __init__(self, *moods: Exception | dict[str, Any] | None) -> None:
        self.moods = list(moods)
        self.asked: list[tuple[int, int]] = []

    def __call__(self, piece: tables.Piece, from_row: int) -> dict[str, Any]:
        self.asked.append((piece.first_row, from_row))
        mood = self.moods.pop(0) if self.moods else None
        if isinstance(mood, Exception):
            raise mood
        left = piece.first_row + len(piece.rows) - from_row
        return mood or FINE | {"taken": left}


def send(table: tables.Table, server: Server, *, next_row: int = 2, patience: float = 60) -> Any:
    waits: list[float] = []
    sender = tables.Sender(table, server, patience, waits.append)
    with tables.bar(hidden=True) as bar:
        return sender.send(bar, next_row=next_row)


def test_a_lost_connection_is_waited_out(written: Callable[[bytes], tables.Table]) -> None:
    table = written(b"email\n" + b"a@x.example\n" * 3_000)
    away = (Unreachable("gone"), Refused(503, "the log is away", []))
    stopped = FINE | {"taken": 200, "next_row": 2_202}
    server = Server(None, *away, stopped)
    sent = send(table, server)
    assert sent.taken == 3_000
    assert server.asked == [(2, 2), (2_002, 2_002), (2_002, 2_002), (2_002, 2_002), (2_002, 2_202)]


def test_a_second_run_goes_on_where_the_first_one_stopped(
    written: Callable[[bytes], tables.Table],
) -> None:
    table = written(b"email\n" + b"a@x.example\n" * 3_000)
    server = Server()
    sent = send(table, server, next_row=2_502)
    assert (sent.taken, sent.skipped, server.asked) == (500, 2_500, [(2_002, 2_502)])
    done = send(table, server, next_row=3_002)
    assert (done.taken, done.skipped, len(server.asked)) == (0, 3_000, 1)


def test_a_server_that_stays_away_ends_the_run_and_says_where(
    written: Callable[[bytes], tables.Table],
) -> None:
    server = Server(None, *[Unreachable("gone")] * 9)
    with pytest.raises(Failure, match="row 2002") as failed:
        send(written(b"email\n" + b"a@x.example\n" * 3_000), server, patience=0)
    assert failed.value.code == CANNOT_REACH


def test_refused_rows_are_told_by_file_line_and_column(
    written: Callable[[bytes], tables.Table],
) -> None:
    wrong = {"row": 3, "column": "email", "what": "no usable email", "cell": 2}
    table = written(b"name,email\nA,a@x.example\nB,nobody\n")
    sent = send(table, Server(FINE | {"taken": 1, "refused": 1, "errors": [wrong]}))
    (error,) = sent.errors
    assert error["where"] == f"{table.path}:3:3"
    assert error["what"] == "email: no usable email"
