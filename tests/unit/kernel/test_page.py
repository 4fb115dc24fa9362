"""The pages that people outside see."""

import re

import pytest

from chappe.page import (
    HEADERS,
    PRIMARY,
    Look,
    button,
    contrast,
    form,
    ink_on,
    language,
    link,
    page,
    paragraph,
)


def test_a_page_says_its_language_and_has_one_heading_and_no_script() -> None:
    made = page("fr", "Merci", paragraph("C'est fait"), Look("Maison"))
    assert '<html lang="fr">' in made
    assert made.count("<h1>") == 1
    assert "<title>Merci · Maison</title>" in made
    assert "<script" not in made
    assert "script-src" not in HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in HEADERS["Content-Security-Policy"]


def test_nothing_that_is_handed_in_is_markup() -> None:
    bad = "</style><script>alert(1)</script>"
    look = Look(name=bad, primary=bad, logo_url=f'https://x.example/"{bad}', footer=bad)
    made = page("en", bad, paragraph(bad) + form(button(bad, do=bad)) + link(bad, bad), look)
    assert "<script" not in made
    assert made.count("</style>") == 1
    assert PRIMARY in made


@pytest.mark.parametrize("url", ["http://x.example/l.png", "javascript:alert(1)", "//x.example/l"])
def test_a_logo_that_is_not_https_gives_way_to_the_name(url: str) -> None:
    made = page("en", "Hi", "", Look("Shop", logo_url=url))
    assert "<img" not in made
    assert "<header>Shop</header>" in made


def test_a_logo_shows_the_name_while_images_are_blocked() -> None:
    made = page("en", "Hi", "", Look("Shop & Co", logo_url="https://x.example/l.png"))
    assert '<img class="logo" src="https://x.example/l.png" alt="Shop &amp; Co">' in made


@pytest.mark.parametrize(
    ("colour", "ink"), [("#1f5f4a", "#ffffff"), ("#ffd24d", "#000000"), ("#fff", "#000000")]
)
def test_a_button_can_be_read_in_any_brand_colour(colour: str, ink: str) -> None:
    assert ink_on(colour) == ink
    assert f"--brand:{colour};--on-brand:{ink}" in page("en", "Hi", "", Look(primary=colour))


def test_every_colour_has_an_ink_with_enough_contrast() -> None:
    for level in range(0, 256, 5):
        for colour in (f"#{level:02x}{level:02x}{level:02x}", f"#{level:02x}40{255 - level:02x}"):
            assert contrast(colour, ink_on(colour)) >= 4.5, colour


def test_by_day_and_by_night_the_words_can_be_read() -> None:
    made = page("en", "Hi", "")
    day, night = re.findall(r":root\{(.*?)\}", made, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{3,6})", day))
    for said in ({}, dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{3,6})", night))):
        colours |= said
        for ink in ("ink", "soft"):
            for ground in ("ground", "sheet", "note"):
                assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
        assert contrast(colours["line"], colours["sheet"]) >= 3
        assert contrast(colours["edge"], colours["sheet"]) >= 3


def test_french_punctuation_does_not_begin_a_line() -> None:
    assert paragraph("Vraiment ?") == "<p>Vraiment&nbsp;?</p>\n"


@pytest.mark.parametrize(
    ("accepted", "spoken"),
    [
        ("fr-CA,fr;q=0.9,en;q=0.1", "fr"),
        ("en;q=0.4, fr;q=0.8", "fr"),
        ("de,en;q=0.5,fr;q=0.2", "en"),
        ("de", "en"),
        ("fr;q=0", "en"),
        ("fr;q=nan,en;q=0.1", "en"),
        ("", "en"),
        ("," * 100_000 + "fr", "en"),
    ],
)
def test_the_language_is_the_one_that_the_browser_likes_best(accepted: str, spoken: str) -> None:
    assert language(accepted, ("en", "fr")) == spoken
