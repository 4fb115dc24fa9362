"""A template filled in shows values safely, and a hostile one stops instead of growing."""

from typing import Any

import pytest

from chappe.tokens import Tokens
from chappe_sender.adapters.compiler import publish
from chappe_sender.adapters.liquid_engine import RenderFailed, compile_html, compile_text
from chappe_sender.adapters.renderer import Rendered, Renderer
from chappe_sender.domain.tracking import Links

TOKENS = Tokens(b"0123456789abcdef0123456789abcdef")
LINKS = Links(TOKENS, "https://t.example", "default", "c_1", "m_1", "zoe@example.com", "offers")
TOTAL = {"amount": "1234.50", "currency": "EUR"}


def page(body: str, subject: str = "hi", **values: Any) -> Rendered:
    text = f"---\nsubject: '{subject}'\nclass: transactional\n---\n{body}"
    return Renderer().render(
        publish("t", {"t.html": text}), values.pop("locale", None), values, LINKS
    )


def text(source: str, **values: Any) -> str:
    return compile_text(source).render(values)


def test_values_are_escaped_in_html_and_plain_in_text_and_subject() -> None:
    shown = page(
        "<p>{{ contact.name }}</p>",
        "For {{ contact.name | default: ''you'' }}",
        contact={"name": "<b>&"},
    )
    assert "<p>&lt;b&gt;&amp;</p>" in shown.html
    assert shown.subject == "For <b>&"
    assert "<b>&" in shown.text


def test_what_is_missing_shows_as_nothing() -> None:
    assert "<p>Hi !</p>" in page("<p>Hi {{ contact.name.first }}!</p>").html


@pytest.mark.parametrize(
    ("locale", "expected"),
    [("en-US", "€1,234.50"), ("fr-FR", "1\u202f234,50\xa0€"), ("xx", "€1,234.50")],
)
def test_money_is_written_in_the_language_of_the_message(locale: str, expected: str) -> None:
    assert text("{{ total | money }}", total=TOTAL, locale=locale) == expected


def test_money_without_a_currency_is_an_error_and_without_a_value_nothing() -> None:
    assert text("{{ nothing | money }}") == ""
    with pytest.raises(RenderFailed, match="no currency"):
        text("{{ total | money }}", total=12)
    with pytest.raises(RenderFailed, match="not an amount"):
        text("{{ total | money }}", total={"amount": "1e999999999", "currency": "EUR"})


def test_dates_are_written_in_the_language_of_the_message() -> None:
    values: dict[str, Any] = {"at": "2026-11-22T09:30:00Z", "locale": "fr-FR"}
    assert text("{{ at | date: 'long' }}", **values) == "22 novembre 2026"
    assert (
        text("{{ at | date: '%A %-d %B %Y, %H:%M' }}", **values)
        == "dimanche 22 novembre 2026, 09:30"
    )
    assert text("{{ 'now' | date: '%Y' }}", now="2026-11-22T00:00:00+00:00") == "2026"
    assert text("{{ 'soon' | date: '%Y' }}") == "soon"


def test_a_link_goes_through_us_and_its_token_says_where_to() -> None:
    shown = page('<a href="{{ event.url }}">x</a>', event={"url": "https://shop.example/?a=1&b=2"})
    token = shown.html.partition("https://t.example/c/")[2].partition('"')[0]
    assert TOKENS.open("click", token) == [
        "default", "c_1", "m_1", 0, "https://shop.example/?a=1&b=2",
    ]  # fmt: skip
    assert "https://t.example/c/" in shown.text


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("javascript:alert(1)", "#"),
        ("data:text/html,x", "#"),
        ("http://shop.example/", "http://shop.example/"),
        ("https://user@shop.example/", "https://user@shop.example/"),
        ("https://shop.example/\x00\x02x y", "https://shop.example/x y"),
        ("http://localhost:8000/x", "https://t.example/c/"),
        ("", ""),
    ],
)
def test_a_link_that_could_mislead_is_not_followed_through_us(url: str, expected: str) -> None:
    shown = page('<a href="{{ event.url }}">x</a>', event={"url": url})
    assert f'href="{expected}' in shown.html
    assert ("/c/" in shown.html) == ("/c/" in expected)


def test_a_value_cannot_pretend_to_be_a_link_mark() -> None:
    forged = "\x020\x03https://evil.example/\x04\x05"
    shown = page("<p>{{ contact.name }}</p>", contact={"name": forged})
    assert "/c/" not in shown.html + shown.text
    assert shown.html.count("/o/") == 1


def test_the_pixel_and_the_ways_out_are_sealed() -> None:
    shown = page('<a href="{{ unsubscribe_url }}">x</a><a href="{{ preferences_url }}">y</a>')
    token = shown.html.partition("https://t.example/o/")[2].partition('"')[0]
    assert TOKENS.open("open", token) == ["default", "c_1", "m_1"]
    token = shown.html.partition("https://t.example/p/")[2].partition('"')[0]
    assert TOKENS.open("preferences", token) == [
        "default", "c_1", "zoe@example.com", "m_1", "offers",
    ]  # fmt: skip
    assert TOKENS.open("unsubscribe", token) is None


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in (1..9000) %}{% for j in (1..9000) %}{% endfor %}{% endfor %}",
        "{% tablerow i in (1..9000) %}{% for j in (1..9000) %}{% endfor %}{% endtablerow %}",
        "{{ (1..100000000) | join }}",
        "{% if (1..100000000) contains 'x' %}{% endif %}",
        "{% assign a = 'aaaa' %}{% for i in (1..50) %}{% assign a = a | append: a %}{% endfor %}",
        "{{ 'a' | replace: 'a', 'B' }}{% assign b = 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' %}"
         "{{ b" + " | replace: 'a', b" * 6 + " }}",
        "{{ 999999999999 | times: 999999999999 | times: 999999999999 }}",
        "{{ '1e999999' | times: 2 | round }}",
        "{{ 'x' | date: '%Q' }}{{ '2026-01-01' | date: '%999999999d' }}",
        "{% capture a %}" + "{{ b }}" * 2_000 + "{% endcapture %}" * 1,
    ],
)  # fmt: skip
def test_a_template_cannot_grow_without_bound(source: str) -> None:
    with pytest.raises(RenderFailed):
        compile_html(source).render({"b": "x" * 60_000})


def test_an_empty_subject_is_a_failure() -> None:
    with pytest.raises(RenderFailed, match="subject"):
        page("<p>x</p>", "{% unless contact.quiet %}x{% endunless %}", contact={"quiet": True})


def test_dates_are_told_in_the_contacts_own_zone() -> None:
    contact = {"timezone": "America/New_York"}
    shown = page("<p>At {{ event.at | date: '%H:%M' }}</p>", contact=contact,
                 event={"at": "2026-11-22T09:30:00Z"})  # fmt: skip
    assert "<p>At 04:30</p>" in shown.html


def test_the_lines_of_a_cart_are_drawn_escaped_and_with_links_of_ours() -> None:
    items = [
        {"title": "<Mug>", "quantity": 2, "price": TOTAL, "url": "https://shop.example/mug",
         "image_url": "javascript:x"},
        "not a line",
    ]  # fmt: skip
    shown = page("<div>{{ event.items | products }}</div>", event={"items": items}, locale="en")
    assert ">&lt;Mug&gt;</a>" in shown.html
    assert "€1,234.50" in shown.html
    assert "javascript" not in shown.html
    assert "https://t.example/c/" in shown.html
    assert "- <Mug> (\N{MULTIPLICATION SIGN} 2)" in shown.text
