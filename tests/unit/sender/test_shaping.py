"""How much a site takes: the table, the remedies, the window, the rate, the breaker."""

import re

import pytest

from chappe_sender.adapters.shaping_table import built_in, shaping_with
from chappe_sender.domain.bounces import BounceClass
from chappe_sender.domain.breaker import (
    PROBE_SECONDS,
    PROBE_WAIT_SECONDS,
    PROBES,
    REST_SECONDS,
    SAMPLE_MIN,
    Breaker,
)
from chappe_sender.domain.shaping import Bucket, Window, shaping_of


@pytest.mark.parametrize(
    ("exchange", "rule"),
    [
        ("gmail-smtp-in.l.google.com.", "google"),
        ("mta5.am0.yahoodns.net", "yahoo"),
        ("shop-example.mail.protection.outlook.com", "microsoft"),
        ("mx01.mail.icloud.com", "apple"),
        ("smtp-in.orange.fr", "orange"),
        ("mx.notgoogle.com", "default"),
        ("mx.shop.example", "default"),
    ],
)
def test_the_exchanger_names_the_rule(exchange: str, rule: str) -> None:
    assert built_in().rule_of(exchange).name == rule


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        ("421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred", 7_200),
        ("421 4.7.28 Our system has detected an unusual rate of unsolicited mail", 1_800),
        ("451 4.7.1 Too many concurrent connections from your host", 60),
        ("550 5.1.1 No such user", None),
        ("452 4.2.2 The mailbox is full", None),
    ],
)
def test_only_answers_about_us_have_a_remedy(answer: str, seconds: float | None) -> None:
    remedy = built_in().remedy_of(answer, built_in().default)
    assert (remedy.seconds if remedy is not None else None) == seconds


def test_the_window_grows_slowly_halves_at_once_and_never_closes() -> None:
    window = Window(5)
    for _ in range(100):
        window.went_well()
    assert window.connections == 5
    window.pushed_back()
    assert window.connections == 2
    for _ in range(10):
        window.pushed_back()
    assert window.connections == 1


def test_a_bucket_gives_its_rate_and_no_more() -> None:
    bucket = Bucket(10.0, at=0.0)
    given, now = 0, 0.0
    while now < 10:
        wait = bucket.wait(now)
        if wait:
            now += wait + 1e-6
        else:
            bucket.take()
            given += 1
    assert 100 <= given <= 102


def test_a_breaker_needs_a_sample_and_a_share() -> None:
    breaker = Breaker()
    for n in range(SAMPLE_MIN - 1):
        breaker.saw("shop.example", "google.com", BounceClass.SPAM, "5.7.1", float(n))
    assert breaker.waits("shop.example", "google.com", 60.0)[0] == 0
    opened = breaker.saw("shop.example", "google.com", BounceClass.SPAM, "5.7.1", 60.0)
    assert opened is not None
    assert breaker.waits("shop.example", "google.com", 60.0)[0] == REST_SECONDS
    assert breaker.waits("shop.example", "outlook.com", 60.0)[0] == 0
    assert breaker.waits("other.example", "google.com", 60.0)[0] == 0
    assert breaker.waits("shop.example", "google.com", 60.0 + REST_SECONDS)[0] == 0


def test_dead_addresses_do_not_open_a_breaker() -> None:
    breaker = Breaker()
    for n in range(500):
        breaker.saw("shop.example", "google.com", BounceClass.INVALID_RECIPIENT, "5.1.1", float(n))
    assert breaker.waits("shop.example", "google.com", 500.0)[0] == 0


def test_a_few_refusals_among_many_do_not_open_it() -> None:
    breaker = Breaker()
    for n in range(1_000):
        bad = BounceClass.SPAM if n % 50 == 0 else None
        breaker.saw("shop.example", "google.com", bad, "", n * 0.5)
    assert breaker.waits("shop.example", "google.com", 500.0)[0] == 0


def test_only_a_large_site_that_fails_the_domain_pauses_the_domain() -> None:
    breaker = Breaker()
    breaker.saw("shop.example", "small.test", BounceClass.AUTHENTICATION, "5.7.26", 0.0)
    assert breaker.waits("shop.example", "outlook.com", 0.0)[0] == 0
    breaker.saw("shop.example", "google.com", BounceClass.AUTHENTICATION, "5.7.26", 0.0)
    assert breaker.waits("shop.example", "outlook.com", 0.0)[0] == REST_SECONDS


SITE = ("shop.example", "google.com")


def opened() -> tuple[Breaker, float]:
    """A breaker whose first rest is just over, and now."""
    breaker = Breaker()
    for _ in range(SAMPLE_MIN):
        breaker.saw(*SITE, BounceClass.SPAM, "5.7.1", 0.0)
    return breaker, REST_SECONDS + 1


def test_after_a_rest_a_few_mails_try_it_and_the_others_wait_for_their_verdicts() -> None:
    breaker, now = opened()
    went = [breaker.waits(*SITE, now)[0] for _ in range(PROBES + 3)]
    assert went == [0.0] * PROBES + [PROBE_WAIT_SECONDS] * 3
    for _ in range(PROBES):
        assert breaker.saw(*SITE, None, "", now + 1) is None
    assert [breaker.waits(*SITE, now + 2)[0] for _ in range(100)] == [0.0] * 100


def test_probes_that_are_refused_make_the_next_rest_twice_as_long() -> None:
    breaker, now = opened()
    assert breaker.waits(*SITE, now)[0] == 0
    assert breaker.saw(*SITE, BounceClass.SPAM, "5.7.1", now) is None
    assert breaker.saw(*SITE, BounceClass.SPAM, "5.7.1", now) is not None
    assert breaker.waits(*SITE, now)[0] == 2 * REST_SECONDS


def test_probes_without_a_verdict_do_not_hold_mail_back_for_ever() -> None:
    breaker, now = opened()
    for _ in range(PROBES):
        breaker.waits(*SITE, now)
    assert breaker.waits(*SITE, now + PROBE_SECONDS)[0] == 0


def test_what_was_on_its_way_when_it_opened_does_not_make_the_rest_longer() -> None:
    breaker, _ = opened()
    for _ in range(SAMPLE_MIN):
        breaker.saw(*SITE, BounceClass.SPAM, "5.7.1", 1.0)
    assert breaker.waits(*SITE, 1.0)[0] == REST_SECONDS - 1


OWN = """
[default]
relay_rate = 50

[[site]]
name = "google"
relay_rate = 2.5

[[site]]
name = "school"
mx = ["mail.school.example"]
connections = 1

[[reply]]
match = "slow down, school"
sites = ["school"]
seconds = 60
per_minute = 30

[[reply]]
match = 'receiving mail at a rate that'
seconds = 0
"""


def test_an_operators_table_changes_what_it_mentions_and_nothing_else() -> None:
    own = shaping_with(OWN)
    google, school = own.rule_of("x.google.com"), own.rule_of("mail.school.example")
    assert (google.relay_rate, google.connections, google.tls) == (2.5, 5, True)
    assert (school.connections, school.relay_rate) == (1, 50)
    remedy = own.remedy_of("451 Slow down, school", school)
    assert remedy is not None
    assert (remedy.seconds, remedy.per_second) == (60, 0.5)
    assert own.remedy_of("451 Slow down, school", google) is None
    assert own.remedy_of("450 receiving mail at a rate that", google) is None
    assert own.remedy_of("421 [TSS04]", google) is not None


@pytest.mark.parametrize(
    ("table", "wrong"),
    [
        ("[sites]", "sites is no part"),
        ("[[site]]\nmx = ['a.example']", "a site needs a name"),
        ("[[site]]\nname = 'x'\nconnection = 2", "there is no connection"),
        ("[[site]]\nname = 'x'\nconnections = 0", "connections is a number from 1"),
        ("[[site]]\nname = 'x'\nmx = ['Upper.example']", "lower case"),
        ("[[reply]]\nmatch = '('\nseconds = 1", "reply '('"),
        ("[[reply]]\nmatch = 'x'", "seconds is a number"),
        ("[[reply]]\nmatch = 'x'\nseconds = 1\nsites = ['nobody']", "no site is called nobody"),
        ("[[site]", "line 1"),
    ],
)
def test_a_table_that_cannot_be_meant_says_where(table: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=re.escape(wrong)):
        shaping_with(table)


def test_every_domain_of_the_table_is_at_one_site() -> None:
    domains = [domain for rule in built_in().rules for domain in rule.domains]
    assert len(domains) == len(set(domains))
    assert built_in().site_of_domain("wanadoo.fr") == "orange.fr"
    assert shaping_of().rules == ()
