import pytest

from chappe_analytics.domain.engagement import Engagement, fact_of
from chappe_analytics.domain.verdict import Verdict, judge
from tests.unit.analytics.facts import SAFARI, touch

GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"


@pytest.mark.parametrize("kind", ["open", "click"])
def test_a_person_in_a_mail_program_or_browser_is_human(kind: str) -> None:
    assert judge(touch(kind, agent=SAFARI)) is Verdict.HUMAN


@pytest.mark.parametrize(
    "agent",
    [
        None,
        "  ",
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
        "Mozilla/5.0 Barracuda Sentinel (EE)",
        "Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/120.0",
        "SomeBot",
    ],
)
@pytest.mark.parametrize("kind", ["open", "click"])
def test_scanners_robots_and_the_nameless_are_machines(kind: str, agent: str | None) -> None:
    assert judge(touch(kind, agent=agent)) is Verdict.MACHINE


def test_a_head_request_is_never_a_click() -> None:
    assert judge(touch("click", method="HEAD")) is Verdict.MACHINE


def test_apples_proxy_opens_as_a_machine_and_says_nothing_about_clicks() -> None:
    assert judge(touch("open", agent="Mozilla/5.0")) is Verdict.MACHINE
    assert judge(touch("click", agent="Mozilla/5.0")) is Verdict.HUMAN


def test_gmails_proxy_fetches_when_a_person_looks() -> None:
    assert judge(touch("open", agent=GMAIL)) is Verdict.HUMAN


def test_a_library_may_be_a_person_behind_something_unusual() -> None:
    assert judge(touch("click", agent="python-httpx/0.28.1")) is Verdict.UNSURE


def test_only_the_first_machine_and_the_first_reader_of_a_link_are_facts() -> None:
    link = Engagement()
    judged = [Verdict.MACHINE, Verdict.MACHINE, Verdict.UNSURE, Verdict.HUMAN, Verdict.HUMAN]
    assert [link.count(verdict) for verdict in judged] == [True, False, True, False, False]
    assert link == Engagement(human=2, unsure=1, machine=2)


def test_a_replayed_touch_becomes_the_same_event() -> None:
    first = fact_of(touch(number="raw_a"), Verdict.HUMAN)
    assert fact_of(touch(number="raw_b"), Verdict.UNSURE).id == first.id
    assert fact_of(touch(number="raw_b"), Verdict.MACHINE).id != first.id
    assert fact_of(touch(link=1), Verdict.HUMAN).id != first.id
    assert fact_of(touch("open"), Verdict.HUMAN).id != first.id


def test_a_click_says_what_was_clicked_and_by_whom() -> None:
    clicked = fact_of(touch(), Verdict.HUMAN)
    assert clicked.name == "email.clicked"
    assert clicked.data == {
        "message": "m_cart-1",
        "verdict": "human",
        "link": 0,
        "url": "https://shop.example/cart",
    }
    opened = fact_of(touch("open"), Verdict.MACHINE)
    assert (opened.name, opened.data) == (
        "email.opened",
        {"message": "m_cart-1", "verdict": "machine"},
    )
