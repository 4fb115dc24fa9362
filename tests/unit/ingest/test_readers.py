import re

import pytest
from prometheus_client import REGISTRY

from chappe.events import contact_key
from chappe.events.streams import EVENTS
from chappe.ids import DEFAULT_WORKSPACE, ContactId
from chappe_ingest.entrypoints.readers import GIF
from tests.unit.ingest.door import Door, later
from tests.unit.ingest.shop import NOW

OPEN = ["default", "c_zoe", "m_1"]
CLICK = ["default", "c_zoe", "m_1", 2, "https://atelier.example/p?x=1&y=2"]
UNSUBSCRIBE = ["default", "c_zoe", "zoe@example.com", "m_1", "offers"]


async def test_an_opened_mail_is_noted_and_gets_its_pixel() -> None:
    door = Door()
    token = door.tokens.seal("open", [*OPEN])
    answer = await door.get(f"/o/{token}", user_agent="Mail/1")
    assert (answer.status, answer.body) == (200, GIF)
    assert len(GIF) == 43
    (noted,) = door.engagements()
    assert (noted.kind, noted.contact, noted.message) == ("open", "c_zoe", "m_1")
    assert (noted.user_agent, noted.address) == ("Mail/1", "203.0.113.0")


async def test_an_open_of_nobody_in_particular_is_counted_and_nothing_is_kept() -> None:
    door = Door()
    labels = {"workspace": "default", "journey": "abandoned-cart", "step": "cart-1"}

    def counted() -> float:
        return REGISTRY.get_sample_value("chappe_ingest_tallied_opens_total", labels) or 0.0

    before = counted()
    token = door.tokens.seal("tally", ["default", "abandoned-cart", "cart-1"])
    answer = await door.get(f"/o/{token}", user_agent="Mail/1")
    assert (answer.status, answer.body, door.engagements()) == (200, GIF, [])
    assert counted() == before + 1


async def test_only_the_network_of_a_reader_is_kept() -> None:
    door = Door()
    token = door.tokens.seal("open", [*OPEN])
    await door.knock("GET", f"/o/{token}.gif", client="2001:db8:1:2:3::4")
    await door.knock("GET", f"/o/{token}", client="unix:")
    assert {noted.address for noted in door.engagements()} == {"2001:db8:1::", None}


@pytest.mark.parametrize("token", ["", "x", "x.gif", "A" * 9000])
async def test_a_bad_open_token_gets_the_pixel_and_notes_nothing(token: str) -> None:
    door = Door()
    assert (await door.get(f"/o/{token}")).body == GIF
    assert door.engagements() == []


async def test_a_click_leads_to_its_sealed_destination() -> None:
    door = Door()
    answer = await door.get(f"/c/{door.tokens.seal('click', [*CLICK])}")
    assert (answer.status, answer.headers["location"]) == (302, CLICK[4])
    (noted,) = door.engagements()
    assert (noted.kind, noted.link, noted.url) == ("click", 2, CLICK[4])


async def test_an_altered_click_leads_nowhere() -> None:
    door = Door()
    token = door.tokens.seal("click", [*CLICK])
    for bad in (token[:-1], token + "A", "A" + token[1:], door.tokens.seal("open", [*CLICK])):
        answer = await door.get(f"/c/{bad}")
        assert answer.status == 404
        assert "location" not in answer.headers
    assert door.engagements() == []


async def test_a_reader_is_led_on_even_while_the_log_is_away() -> None:
    door = Door()
    door.broker.away = True
    assert (await door.get(f"/c/{door.tokens.seal('click', [*CLICK])}")).status == 302
    assert (await door.get(f"/o/{door.tokens.seal('open', [*OPEN])}")).status == 200


async def test_looking_at_the_unsubscribe_page_changes_nothing() -> None:
    door = Door()
    answer = await door.get(f"/u/{door.tokens.seal('unsubscribe', [*UNSUBSCRIBE])}")
    assert answer.status == 200
    assert b"zoe@example.com" in answer.body
    assert b"<form" in answer.body
    assert b"<script" not in answer.body
    assert door.events() == []


async def test_the_page_says_whose_mail_it_was_in_their_colour() -> None:
    door = Door()
    payload = [*UNSUBSCRIBE, "Lanterns & Sons", "#8a2be2"]
    answer = await door.get(f"/u/{door.tokens.seal('unsubscribe', [*payload])}")
    page = answer.body.decode()
    assert "<h1>Unsubscribe from Lanterns &amp; Sons?</h1>" in page
    assert "#8a2be2" in page
    assert page.count("<button") == 1


async def test_the_page_leads_to_the_preferences_of_the_same_person() -> None:
    door = Door()
    token = door.tokens.seal("unsubscribe", [*UNSUBSCRIBE, "Shop", ""])
    for answer in (await door.get(f"/u/{token}"), await door.post(f"/u/{token}", b"")):
        found = re.search(r'href="/p/([\w-]+)"', answer.body.decode())
        assert found is not None
        assert door.tokens.open("preferences", found[1]) == UNSUBSCRIBE


async def test_the_links_of_a_test_mail_say_that_it_was_one() -> None:
    door = Door()
    for answer in (await door.get("/u/test"), await door.post("/u/test", b"")):
        assert answer.status == 404
        assert b"test mail" in answer.body
    assert door.events() == []


async def test_the_page_speaks_french_to_whom_prefers_it() -> None:
    door = Door()
    path = f"/u/{door.tokens.seal('unsubscribe', [*UNSUBSCRIBE])}"
    french = await door.get(path, accept_language="fr-CA,fr;q=0.9,en;q=0.1")
    assert "Me désabonner" in french.body.decode()
    assert b"Unsubscribe" in (await door.get(path, accept_language="de,en;q=0.5")).body


async def test_one_click_unsubscribes_at_once_without_a_cookie() -> None:
    door = Door()
    token = door.tokens.seal("unsubscribe", [*UNSUBSCRIBE])
    body = b"List-Unsubscribe=One-Click"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await door.post(f"/u/{token}", body, form)
    assert answer.status == 200
    ((_, key, _),) = door.stored(EVENTS)
    assert key == contact_key(DEFAULT_WORKSPACE, ContactId("c_zoe"))
    (event,) = door.events()
    assert event.name == "email.unsubscribed"
    assert event.contact == "c_zoe"
    assert event.occurred_at == NOW
    assert event.source_event == "one_click"
    assert event.data == {"message": "m_1", "topic": "offers", "address": "zoe@example.com"}


async def test_a_mail_program_that_posts_twice_says_it_once() -> None:
    door = Door()
    token = door.tokens.seal("unsubscribe", [*UNSUBSCRIBE])
    await door.post(f"/u/{token}", b"")
    await door.post(f"/u/{token}", b"")
    door.business.set(later(60))
    await door.post(f"/u/{token}", b"")
    first, second, much_later = (event.id for event in door.events())
    assert first == second
    assert much_later != first


async def test_an_unsubscribe_is_only_confirmed_once_it_is_kept() -> None:
    door = Door()
    token = door.tokens.seal("unsubscribe", [*UNSUBSCRIBE])
    door.broker.away = True
    assert (await door.post(f"/u/{token}", b"")).status == 503


async def test_a_bad_unsubscribe_link_says_so() -> None:
    door = Door()
    assert (await door.post("/u/nobody", b"")).status == 404
    assert (await door.get("/u/nobody")).status == 404
    assert door.events() == []


async def test_an_address_on_the_page_is_text_and_never_markup() -> None:
    door = Door()
    payload = ["default", "c_zoe", "<b>@x.example", None, None]
    answer = await door.get(f"/u/{door.tokens.seal('unsubscribe', [*payload])}")
    assert b"<b>" not in answer.body


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS"])
async def test_other_methods_do_nothing(method: str) -> None:
    door = Door()
    token = door.tokens.seal("unsubscribe", [*UNSUBSCRIBE])
    assert (await door.knock(method, f"/u/{token}")).status == 405
    assert door.events() == []
