import pytest

from chappe.events import Identifier
from chappe_ingest.domain.contact_rows import BadRow, ContactRow, NoTable, rows_of


def table(*lines: str, encoding: str = "utf-8") -> bytes:
    return "\r\n".join(lines).encode(encoding)


def test_a_row_becomes_identifiers_and_traits() -> None:
    (row,) = rows_of(table("E-Mail,Prénom,Loyalty Points", "Zoe@Example.com,Zoé,12"))
    assert row == ContactRow(
        2,
        (Identifier("email", "zoe@example.com"),),
        {"first_name": "Zoé", "loyalty_points": "12"},
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_encodings_and_delimiters_are_recognised(encoding: str, delimiter: str) -> None:
    lines = [delimiter.join(row) for row in (("email", "nom"), ("a@x.example", "Désirée"))]
    (row,) = rows_of(table(*lines, encoding=encoding))
    assert isinstance(row, ContactRow)
    assert row.traits == {"last_name": "Désirée"}


def test_a_quoted_cell_may_hold_anything() -> None:
    found = list(rows_of(table("email,note", '"a@x.example","one, two\nthree"', "b@x.example,x")))
    assert [row.number for row in found] == [2, 3]
    assert isinstance(found[0], ContactRow)
    assert found[0].traits == {"note": "one, two\nthree"}


def test_a_consent_needs_its_time_and_its_source() -> None:
    head = "email,consent_email,consent_email_at,consent_email_source"
    found = list(
        rows_of(
            table(
                head,
                "a@x.example,yes,2024-05-01T10:00:00Z,trade fair",
                "b@x.example,yes,,trade fair",
                "c@x.example,yes,2024-05-01T10:00:00Z,",
                "d@x.example,maybe,2024-05-01T10:00:00Z,x",
                "e@x.example,,,",
            )
        )
    )
    assert isinstance(found[0], ContactRow)
    assert found[0].traits["consent"] == {
        "email": {"state": "subscribed", "at": "2024-05-01T10:00:00Z", "source": "trade fair"}
    }
    wrong = [(row.number, row.column) for row in found if isinstance(row, BadRow)]
    assert wrong == [(3, "consent_email_at"), (4, "consent_email_source"), (5, "consent_email")]
    assert isinstance(found[4], ContactRow)
    assert "consent" not in found[4].traits


def test_bad_rows_are_told_by_their_number_and_the_others_go_on() -> None:
    lines = ("email,phone", "nobody,", ",", "a@x.example,+33612345678", "b@x.example,1,2", ",12")
    found = list(rows_of(table(*lines)))
    assert [(row.number, type(row)) for row in found] == [
        (2, BadRow),
        (4, ContactRow),
        (5, BadRow),
        (6, BadRow),
    ]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"name,age\nA,1", "email, phone or external_id"),
        (b"email,Email\na@x.example,b@x.example", "twice"),
        (b"email" + b",x" * 200, "columns"),
    ],
)
def test_what_is_no_table_of_contacts_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(NoTable, match=why):
        list(rows_of(content))


@pytest.mark.parametrize(
    "content", [b"email\n\x00\xff\xfe", b'email\n"a@x', b"email\n" + b"x" * 200_000]
)
def test_hostile_tables_raise_nothing_else(content: bytes) -> None:
    list(rows_of(content))
