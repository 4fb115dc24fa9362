"""The proxy sends each public address to the service that owns it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
CONFIG = (ROOT / "deploy" / "proxy" / "nginx.conf").read_text("utf-8")
LOCATION = re.compile(
    r"location (?P<kind>=|~|\^~)? ?(?P<pattern>/\S*|\^\S+) \{[^}]*?"
    r"(?:proxy_pass http://(?P<owner>[a-z]+);|return (?P<status>\d+))"
)
LOCATIONS = [match.groupdict() for match in LOCATION.finditer(CONFIG)]

OWNERS = {
    "ingest": (
        "/in/src_abc",
        *(
            f"/v1/{call}"
            for call in ("identify", "track", "page", "screen", "group", "alias", "batch")
        ),
        "/providers/ses/ep_1",
        "/o/token",
        "/c/token",
        "/u/token",
        "/api/v1/sources",
        "/api/v1/sources/src_abc",
        "/api/v1/imports",
        "/api/v1/identities/email:zoe@example.com",
        "/api/v1/events",
        "/api/v1/dead-letters/ingest",
        "/api/v1/dead-letters/ingest/raw_1/replay",
        "/api/v1/imports/0a1b",
        "/livez",
        "/readyz",
        "/version",
        "/openapi.json",
    ),
    "resolver": (
        "/api/v1/dead-letters/resolver",
        "/api/v1/dead-letters/resolver/raw.commerce-3-17",
        "/api/v1/dead-letters/resolver/raw.commerce-3-17/replay",
        "/api/v1/dead-letters/resolver/replay",
    ),
    "orchestrator": (
        "/api/v1/journeys",
        "/api/v1/journeys/welcome",
        "/api/v1/enrollments",
        "/api/v1/contacts",
        "/api/v1/contacts/email:zoe@example.com",
        "/api/v1/segments",
        "/api/v1/broadcasts",
        "/api/v1/dead-letters/orchestrator",
    ),
    "sender": (
        "/p/token",
        "/api/v1/templates",
        "/api/v1/brand",
        "/api/v1/messages",
        "/api/v1/messages/m_1",
        "/api/v1/suppressions",
        "/api/v1/coupons",
        "/api/v1/suppressions/import",
        "/api/v1/domains",
        "/api/v1/providers",
        "/api/v1/sending",
        "/api/v1/dead-letters/sender",
    ),
    "analytics": (
        "/api/v1/contacts/email:zoe@example.com/timeline",
        "/api/v1/contacts/email:zoe@example.com/timeline/export",
        "/api/v1/reports",
        "/api/v1/reports/journeys/welcome",
        "/api/v1/live",
        "/api/v1/dead-letters/analytics",
    ),
}


def route(path: str) -> str | None:
    """Choose as nginx does: an exact location, else the first regular one, else the longest."""
    for location in LOCATIONS:
        if location["kind"] == "=" and path == location["pattern"]:
            return location["owner"]
    for location in LOCATIONS:
        if location["kind"] == "~" and re.search(str(location["pattern"]), path):
            return location["owner"]
    prefixes = [
        location
        for location in LOCATIONS
        if location["kind"] is None and path.startswith(str(location["pattern"]))
    ]
    return max(prefixes, key=lambda location: len(str(location["pattern"])))["owner"]


def test_the_whole_file_was_read() -> None:
    assert len(LOCATIONS) == CONFIG.count("location ")


@pytest.mark.parametrize(
    ("path", "owner"), [(path, owner) for owner, paths in OWNERS.items() for path in paths]
)
def test_an_address_reaches_its_owner(path: str, owner: str) -> None:
    assert route(path) == owner


@pytest.mark.parametrize("path", ["/", "/metrics", "/api/v1/demo/clock", "/v1/trackers", "/api/v1"])
def test_what_is_not_public_is_not_found(path: str) -> None:
    assert route(path) is None


def test_every_owner_is_an_upstream_that_compose_starts() -> None:
    owners = {location["owner"] for location in LOCATIONS} - {None}
    assert owners == set(re.findall(r"upstream ([a-z]+) \{", CONFIG))
    assert owners == set(re.findall(r"server ([a-z]+):8000 resolve;", CONFIG))
    assert owners == OWNERS.keys()


def test_returned_mail_reaches_the_edge_as_it_is() -> None:
    stream = CONFIG.split("stream {")[1].split("http {")[0]
    assert "listen 2525;" in stream
    assert "set $edge ingest:2525;" in stream
    assert "proxy_pass $edge;" in stream


def test_live_events_are_passed_on_as_they_come() -> None:
    live = CONFIG.split("location = /api/v1/live")[1].split("}")[0]
    assert "proxy_buffering off;" in live


def test_a_request_is_never_sent_twice() -> None:
    assert "proxy_next_upstream off;" in CONFIG
