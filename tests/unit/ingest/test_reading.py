import contextlib
import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.clock import UTC
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.reading import Reader, Unreadable, parse, parse_time, plain


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"null", "null"),
        (b"[]", "list"),
        (b"1", "number"),
        (b'"x"', "text"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"[" * 100_000, "nested"),
        (b'{"a":' * 20_000, "nested"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "nested"),
        (b'{"id":NaN}', "NaN"),
        (b'{"id":Infinity}', "Infinity"),
    ],
)
def test_a_body_that_is_no_object_is_unreadable_with_the_reason(body: bytes, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        parse(body)


def test_nul_and_lone_surrogates_are_stripped_from_values_and_names() -> None:
    assert parse(b'{"a\\u0000":"x\\ud800y\\u0000", "e":"\\ud83d\\ude00"}') == {"a": "xy", "e": "😀"}


def test_a_byte_order_mark_is_no_obstacle() -> None:
    assert parse(b'\xef\xbb\xbf{"a":1}') == {"a": 1}


def test_huge_numbers_cost_nothing() -> None:
    huge = parse(b'{"a":' + b"9" * 5000 + b', "b":1e999999999, "c":' + b"9" * 25 + b"}")
    assert huge["a"] is None
    assert huge["b"] is None
    assert huge["c"] == Decimal("9" * 25)


def test_money_keeps_the_text_of_the_document() -> None:
    body = parse(b'{"a":"600.00","b":2.000,"c":20,"d":"x","e":true,"f":[]}')
    reader = Reader(body, [])
    amounts = [reader.money("EUR", name) for name in "abcdef"]
    assert [a and a["amount"] for a in amounts] == ["600.00", "2.000", "20", None, None, None]
    assert len(reader.warnings) == 3


def test_a_warning_never_repeats_a_value() -> None:
    reader = Reader({"token": {"secret": "s3cr3t"}}, [], "order.")
    assert reader.text("token") is None
    assert reader.warnings == ["order.token: an object where text is expected, left out"]


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2026-11-22T09:30:00Z", 9),
        ("2026-11-22T10:30:00+01:00", 9),
        ("2026-11-22 09:30:00.000Z", 9),
        ("2026-11-22T15:00:00+05:30", 9),
        ("2026-11-22T09:30", 9),
        ("2026-11-22T4:30:00-0500", 9),
    ],
)
def test_times_are_read_as_people_write_them(text: str, hour: int) -> None:
    assert parse_time(text) == dt.datetime(2026, 11, 22, hour, 30, tzinfo=UTC)


def test_a_day_without_its_zero_is_read() -> None:
    assert parse_time("2015-2-02T00:30:08.276Z") == dt.datetime(
        2015, 2, 2, 0, 30, 8, 276000, tzinfo=UTC
    )


@pytest.mark.parametrize(
    "value",
    ["2024-09-16T03:50:1500:00", "", "soon", "0001-01-01T00:00:00+14:00", True, [], "9" * 400],
)
def test_an_unreadable_time_is_none(value: object) -> None:
    assert parse_time(value) is None


def test_seconds_and_milliseconds_since_1970_are_times() -> None:
    assert parse_time(1_700_000_000) == parse_time(1_700_000_000_000)
    assert parse_time(10**17) is None


@given(st.text(max_size=40) | st.integers() | st.none() | st.booleans())
def test_no_time_raises(value: object) -> None:
    parse_time(value)


@given(st.binary(max_size=60))
def test_no_body_raises_anything_else(body: bytes) -> None:
    with contextlib.suppress(Unreadable):
        parse(body)


def test_numbers_leave_as_plain_json() -> None:
    assert plain({"a": Decimal("1.5"), "b": [Decimal(10) ** 20]}) == {"a": 1.5, "b": [1e20]}


LINKS = Links(frozenset({"atelier.example"}), ("myshopify.com",))


@pytest.mark.parametrize(
    "url",
    [
        "https://atelier.example/p/1",
        "https://www.atelier.example/p/1?x=1",
        "https://atelier.myshopify.com/c/1",
    ],
)
def test_a_link_to_the_shop_is_kept(url: str) -> None:
    assert LINKS.take(Reader({"url": url}, []), "url") == url


@pytest.mark.parametrize(
    "url",
    [
        "http://atelier.example/p/1",
        "https://evil.example/p/1",
        "https://atelier.example.evil.example/",
        "https://atelier.example@evil.example/",
        "https://user@atelier.example/",
        "https://evil.example\\@atelier.example/",
        "https://notatelier.example/",
        "javascript:alert(1)",
        "//atelier.example/x",
        "https://[::1",
        "https://atelier.example:x/",
        "https://atelier.example/\r\nBcc: x",
        "https://atelier.example/" + "a" * 3000,
    ],
)
def test_any_other_link_is_dropped_with_a_warning(url: str) -> None:
    reader = Reader({"url": url}, [])
    assert LINKS.take(reader, "url") is None
    assert len(reader.warnings) == 1


def test_the_warning_says_how_to_add_the_domain_and_keeps_the_link_to_itself() -> None:
    reader = Reader({"url": "https://shop.example/reset?key=s3cr3t"}, [])
    assert LINKS.take(reader, "url") is None
    assert "--domain shop.example" in reader.warnings[0]
    assert "s3cr3t" not in reader.warnings[0]


def test_trying_out_keeps_the_link_and_warns() -> None:
    reader = Reader({"url": "https://shop.example/p"}, [])
    assert Links(keep=True).take(reader, "url") == "https://shop.example/p"
    assert "--domain shop.example" in reader.warnings[0]
