"""The ready mails, as people get them: in both languages, with little and with much to say."""

import re
from functools import cache
from html.parser import HTMLParser
from typing import Any

import pytest
from typing_extensions import override

from chappe.page import contrast
from chappe_recipes import recipes
from chappe_sender.adapters.compiler import examine
from chappe_sender.adapters.renderer import Rendered, Renderer
from chappe_sender.application.preview import Untracked
from chappe_sender.domain import double_opt_in, samples
from chappe_sender.domain.brand import Brand
from chappe_sender.domain.template import TemplateVersion

FILES: dict[str, dict[str, str]] = {
    name: files for each in recipes() for name, files in each.template_files().items()
}
CARTS = sorted(name for name, files in FILES.items() if "event.items" in "".join(files.values()))
MARKETING = sorted(
    name for name, files in FILES.items() if "unsubscribe_url" in "".join(files.values())
)
LOCALES = ("en-GB", "fr-FR")
LINE_OCTETS_MAX = 998
TOUCH_PIXELS = 44

PLAIN = Brand(
    name="Lanterns & Sons",
    address="Lanterns & Sons, 12 Tower Street, 59000 Lille",
    url="https://shop.example/",
)
DRESSED = Brand(
    name="Maison Claude",
    address="12 rue des Signaux, 59000 Lille",
    url="https://shop.example/",
    logo_url="https://shop.example/logo.png",
    colors={"primary": "#ffd24d"},
)


def line(number: int, title: str = "Candle", **more: Any) -> dict[str, Any]:
    return {
        "title": title,
        "quantity": number,
        "price": {"amount": "1234.5", "currency": "EUR"},
        "url": f"https://shop.example/p/{number}",
        "image_url": f"https://shop.example/p/{number}.jpg",
        **more,
    }


def cart(*lines: dict[str, Any]) -> dict[str, Any]:
    return {"items": list(lines), "total": {"amount": "12345.67", "currency": "EUR"}}


@cache
def version(name: str) -> TemplateVersion:
    return examine(name, FILES[name]).version


def mail(
    name: str,
    locale: str = "en-GB",
    *,
    contact: dict[str, Any] | None = None,
    event: dict[str, Any] | None = None,
    brand: Brand = PLAIN,
) -> Rendered:
    values = samples.values(contact=contact, event=event, brand=brand)
    return Renderer().render(version(name), locale, values, Untracked("https://mail.example"))


class Seen(HTMLParser):
    """Tags as they come, with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.feed(page)
        self.close()

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.mark.parametrize("name", FILES)
def test_every_ready_mail_can_be_published_without_a_warning(name: str) -> None:
    found = examine(name, FILES[name])
    assert found.warnings == []
    assert set(found.version.variants) == {"", "fr"}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("locale", LOCALES)
def test_a_ready_mail_can_be_heard_and_used_by_hand(name: str, locale: str) -> None:
    made = mail(name, locale, brand=DRESSED)
    seen = Seen(made.html)
    assert seen.all("html")[0]["lang"] == locale[:2]
    assert made.html.count(f"<title>{made.subject}</title>") == 1
    assert len(seen.all("h1")) == 1
    assert all("alt" in image for image in seen.all("img"))
    assert {"light dark"} == {
        meta["content"] for meta in seen.all("meta") if meta.get("name") == "color-scheme"
    }
    pressed = [a for a in seen.all("a") if "display:inline-block" in a.get("style", "")]
    assert pressed
    for button in pressed:
        padding = re.search(r"padding:(\d+)px", button["style"])
        letters = re.search(r"font-size:(\d+)px", button["style"])
        assert padding is not None
        assert letters is not None
        assert 2 * int(padding[1]) + int(letters[1]) >= TOUCH_PIXELS


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("locale", LOCALES)
def test_a_ready_mail_fits_the_wire(name: str, locale: str) -> None:
    for event in (None, cart(*(line(n, "x" * 300) for n in range(1, 13)))):
        made = mail(name, locale, event=event)
        wire = made.html.encode("ascii", "xmlcharrefreplace")
        assert max(map(len, wire.split(b"\n"))) <= LINE_OCTETS_MAX
        assert made.plain_style


@pytest.mark.parametrize("name", MARKETING)
@pytest.mark.parametrize("locale", LOCALES)
def test_the_shop_is_named_once_beside_its_address(name: str, locale: str) -> None:
    said = mail(name, locale).text.rstrip().splitlines()[-1]
    assert said == "Lanterns & Sons, 12 Tower Street, 59000 Lille"
    said = mail(name, locale, brand=DRESSED).text.rstrip().splitlines()[-1]
    assert said == "Maison Claude · 12 rue des Signaux, 59000 Lille"


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("contact", [{}, {"first_name": ""}, {"first_name": None}])
def test_nobody_is_greeted_with_a_hole(name: str, contact: dict[str, Any]) -> None:
    for locale in LOCALES:
        made = mail(name, locale, contact=contact)
        for said in (made.html, made.text, made.subject):
            assert not re.search(r"(Bonjour|Hello|Hi|Bienvenue) ?,? ,", said)
            assert not said.lstrip().startswith(",")
            assert "None" not in said


@pytest.mark.parametrize("name", FILES)
def test_a_ready_mail_wears_the_brand(name: str) -> None:
    made = mail(name, brand=DRESSED)
    assert 'src="https://shop.example/logo.png" alt="Maison Claude"' in made.html
    assert "#ffd24d" in made.html
    assert "logo" not in mail(name).html


@pytest.mark.parametrize("name", FILES)
def test_the_small_print_can_be_read(name: str) -> None:
    for file, source in FILES[name].items():
        for said in re.findall(r'(?<!-)color[=:]"?(#[0-9a-f]{6})', source):
            if said not in {"#ffffff", "#eceff0", "#b3bcb8"}:
                assert contrast(said, "#f4efe6") >= 4.5, (file, said)
        for said in ("#eceff0", "#b3bcb8"):
            assert contrast(said, "#20272a") >= 4.5


@pytest.mark.parametrize("name", CARTS)
def test_money_is_written_as_the_reader_writes_it(name: str) -> None:
    assert "€12,345.67" in mail(name, "en-GB", event=cart(line(1))).text
    french = mail(name, "fr-FR", event=cart(line(1))).text
    assert re.search(r"12\s345,67\s€", french)


@pytest.mark.parametrize("name", CARTS)
def test_a_cart_of_twelve_shows_eight_and_says_how_many_more(name: str) -> None:
    made = mail(name, event=cart(*(line(n) for n in range(1, 13))))
    assert len(re.findall("https://shop.example/p/[0-9]+.jpg", made.html)) == 8
    assert "+ 4 more items" in made.text
    assert "more items" not in mail(name, event=cart(*(line(n) for n in range(1, 9)))).text


@pytest.mark.parametrize("name", CARTS)
def test_a_line_without_picture_link_or_variant_leaves_no_gap(name: str) -> None:
    bare = {"title": "Candle", "quantity": 1, "price": {"amount": "9", "currency": "EUR"}}
    empty = dict.fromkeys(("image_url", "url", "variant_title"), "")
    for more in ({}, dict.fromkeys(empty, None), empty):
        made = mail(name, event=cart({**bare, **more}))
        assert "<img" not in made.html.partition("Candle")[0].partition("<h1")[2]
        assert re.search(r"^Candle €9\.00$", made.text, re.MULTILINE)
        assert 'colspan="2"' in made.html


def test_the_question_of_a_double_opt_in_is_dressed_too() -> None:
    made = examine(double_opt_in.NAME, double_opt_in.FILES)
    for locale in LOCALES:
        shown = Renderer().render(
            made.version, locale, samples.values(brand=DRESSED), Untracked("https://mail.example")
        )
        assert "background:#ffd24d;color:#000000" in shown.html.replace("\n", "")
        assert shown.text.rstrip().endswith("Maison Claude · 12 rue des Signaux, 59000 Lille")
        assert Seen(shown.html).all("html")[0]["lang"] == locale[:2]
