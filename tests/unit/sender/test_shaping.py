"""How much a site takes: the table, the remedies, the window, the rate, the breaker."""

import pytest

from chappe_sender.domain.bounces import BounceClass
from chappe_sender.domain.breaker import REST_SECONDS, SAMPLE_MIN, Breaker
from chappe_sender.domain.shaping import Bucket, Window, remedy_of, rule_of


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
    assert rule_of(exchange).name == rule


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
    remedy = remedy_of(answer)
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
    assert breaker.waits("shop.example", "google.com", 60.0) == 0
    opened = breaker.saw("shop.example", "google.com", BounceClass.SPAM, "5.7.1", 60.0)
    assert opened is not None
    assert breaker.waits("shop.example", "google.com", 60.0) == REST_SECONDS
    assert breaker.waits("shop.example", "outlook.com", 60.0) == 0
    assert breaker.waits("other.example", "google.com", 60.0) == 0
    assert breaker.waits("shop.example", "google.com", 60.0 + REST_SECONDS) == 0


def test_dead_addresses_do_not_open_a_breaker() -> None:
    breaker = Breaker()
    for n in range(500):
        breaker.saw("shop.example", "google.com", BounceClass.INVALID_RECIPIENT, "5.1.1", float(n))
    assert breaker.waits("shop.example", "google.com", 500.0) == 0


def test_a_few_refusals_among_many_do_not_open_it() -> None:
    breaker = Breaker()
    for n in range(1_000):
        bad = BounceClass.SPAM if n % 50 == 0 else None
        breaker.saw("shop.example", "google.com", bad, "", n * 0.5)
    assert breaker.waits("shop.example", "google.com", 500.0) == 0


def test_only_a_large_site_that_fails_the_domain_pauses_the_domain() -> None:
    breaker = Breaker()
    breaker.saw("shop.example", "small.test", BounceClass.AUTHENTICATION, "5.7.26", 0.0)
    assert breaker.waits("shop.example", "outlook.com", 0.0) == 0
    breaker.saw("shop.example", "google.com", BounceClass.AUTHENTICATION, "5.7.26", 0.0)
    assert breaker.waits("shop.example", "outlook.com", 0.0) == REST_SECONDS
