"""The addresses of a running box."""

import httpx

from tests.e2e.box import Box, until


def test_every_check_is_named_and_ok(box: Box) -> None:
    answer = httpx.get(f"{box.url}/readyz")
    assert answer.status_code == 200
    checks = answer.json()["checks"]
    assert {"postgres", "broker", "shards"} <= checks.keys()
    assert set(checks.values()) == {"ok"}


def test_health_version_metrics_and_the_description_answer(box: Box) -> None:
    assert httpx.get(f"{box.url}/livez").json() == {"status": "ok"}
    assert httpx.get(f"{box.url}/version").json()["service"] == "onebox"
    assert "chappe_" in httpx.get(f"{box.url}/metrics").text
    paths = httpx.get(f"{box.url}/openapi.json").json()["paths"]
    wanted = {"/api/v1/sources", "/api/v1/journeys", "/api/v1/templates", "/api/v1/live"}
    assert wanted <= paths.keys()


def test_the_api_asks_for_its_token(box: Box) -> None:
    for path in ("/api/v1/sources", "/api/v1/journeys", "/api/v1/messages", "/api/v1/demo/clock"):
        answer = httpx.get(box.url + path)
        assert answer.status_code == 401, path
        assert answer.headers["content-type"] == "application/problem+json"


def test_the_clock_takes_iso_durations_and_says_what_it_does_not(box: Box) -> None:
    for bad in ("1h", "-PT1H", "P1M", "", "P1000D"):
        answer = box.api("POST", "/api/v1/demo/clock", {"advance": bad})
        assert answer.status_code == 422, bad
        assert answer.json()["errors"]
    moved = box.api("POST", "/api/v1/demo/clock", {"advance": "PT26H30M"}).json()
    assert moved["settled"]
    assert moved["stuck"] == []
    assert moved["ahead_seconds"] >= 95_400


def test_the_page_is_whole_and_carries_the_token_for_this_machine(box: Box) -> None:
    page = httpx.get(box.url)
    assert page.status_code == 200
    assert box.token in page.text
    lured = httpx.get(box.url, headers={"Host": "rebound.example"})
    assert box.token not in lured.text


def test_the_page_may_read_the_inbox_and_strangers_may_not(box: Box) -> None:
    inbox = f"{box.endpoints['inbox']}/api/v1/messages"
    allowed = httpx.get(inbox, headers={"Origin": box.url})
    assert allowed.headers["access-control-allow-origin"] == box.url
    stranger = httpx.get(inbox, headers={"Origin": "https://rebound.example"})
    assert "access-control-allow-origin" not in stranger.headers


def test_a_forged_webhook_is_refused_and_an_unknown_source_is_not_found(box: Box) -> None:
    secret = {"secret": "hush"}
    added = box.api("POST", "/api/v1/sources", {"kind": "shopify", "name": "forged"} | secret)
    url = added.json()["url"]
    head = {"X-Shopify-Topic": "orders/create", "X-Shopify-Hmac-Sha256": "bm8="}
    assert httpx.post(url, content=b"{}", headers=head).status_code == 401
    assert httpx.post(f"{box.url}/in/src_nobody", content=b"{}").status_code == 404


def test_what_happens_is_seen_live(box: Box) -> None:
    with httpx.stream("GET", f"{box.url}/api/v1/live?token={box.token}", timeout=20) as live:
        lines = live.iter_lines()
        next(lines)
        box.press("sign_up", "live@example.com")
        seen = next(line for line in lines if line.startswith("data:"))
    assert "live@example.com" in seen
    until(lambda: box.mails("live@example.com"))
