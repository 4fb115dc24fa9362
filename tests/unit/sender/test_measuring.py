"""Who is measured, and what a mail then carries."""

import pytest

from chappe.events import ConsentState
from chappe.tokens import Tokens
from chappe_sender.adapters.compiler import publish
from chappe_sender.adapters.renderer import Rendered, Renderer
from chappe_sender.domain.measuring import Measuring, MeasuringRules, Tracking
from chappe_sender.domain.tracking import Links

TOKENS = Tokens(b"0123456789abcdef0123456789abcdef")
YES, NO, PERHAPS = ConsentState.SUBSCRIBED, ConsentState.UNSUBSCRIBED, ConsentState.PENDING
SOURCE = """---
subject: hi
class: transactional
---
<p><a href="https://shop.example/cart">Your cart</a></p>
"""


@pytest.mark.parametrize(
    ("said", "country", "mode"),
    [
        (None, None, Tracking.FULL),
        (None, "DE", Tracking.FULL),
        (None, "FR", Tracking.AGGREGATE),
        (None, " fr", Tracking.AGGREGATE),
        (PERHAPS, "FR", Tracking.AGGREGATE),
        (YES, "FR", Tracking.FULL),
        (NO, "DE", Tracking.NONE),
        (NO, "FR", Tracking.NONE),
        (None, {"code": "FR"}, Tracking.FULL),
    ],
)
def test_silence_is_no_consent_in_france_and_a_refusal_holds_everywhere(
    said: ConsentState | None, country: object, mode: Tracking
) -> None:
    assert Measuring(said).mode(country) is mode


def test_a_workspace_names_its_countries_and_what_a_refusal_means() -> None:
    rules = MeasuringRules(frozenset({"BE"}), Tracking.AGGREGATE)
    assert Measuring(None, rules).mode("FR") is Tracking.FULL
    assert Measuring(None, rules).mode("BE") is Tracking.AGGREGATE
    assert Measuring(NO, rules).mode("FR") is Tracking.AGGREGATE


def links(mode: Tracking, contact: str = "c_1", message: str = "m_1") -> Links:
    return Links(
        TOKENS, "https://t.example", "default", contact, message, "zoe@example.com", None,
        mode=mode, step=("abandoned-cart", "cart-1"),
    )  # fmt: skip


def shown(mode: Tracking) -> Rendered:
    return Renderer().render(publish("t", {"t.html": SOURCE}), None, {}, links(mode))


def test_in_full_mode_pixel_and_link_name_the_message() -> None:
    made = links(Tracking.FULL)
    pixel, click = made.open(), made.click(0, "https://shop.example/cart")
    assert pixel is not None
    assert TOKENS.open("open", pixel.rpartition("/")[2]) == ["default", "c_1", "m_1"]
    assert click.startswith("https://t.example/c/")


def test_in_aggregate_mode_the_pixel_names_a_step_and_nobody() -> None:
    pixel = links(Tracking.AGGREGATE).open()
    assert pixel is not None
    sealed = pixel.rpartition("/")[2]
    assert TOKENS.open("open", sealed) is None
    assert TOKENS.open("tally", sealed) == ["default", "abandoned-cart", "cart-1"]
    assert "https://t.example/c/" in shown(Tracking.AGGREGATE).html


def test_who_refused_gets_no_pixel_and_links_that_lead_straight_on() -> None:
    page = shown(Tracking.NONE)
    assert "https://t.example/o/" not in page.html
    assert 'href="https://shop.example/cart"' in page.html
    assert "https://t.example/c/" not in page.html + page.text
