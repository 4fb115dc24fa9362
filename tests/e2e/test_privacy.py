"""Two contacts become one, and one becomes nobody, in every service of a box."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.box import Box, until

CONSENT_COLUMNS = "email,first_name,consent_email,consent_email_at,consent_email_source"


class Shop:
    """A server with a secret write key."""

    def __init__(self, box: Box) -> None:
        self.box = box
        answer = box.api("POST", "/api/v1/sources", {"kind": "segment", "name": "app"})
        assert answer.status_code == 201, answer.text
        self.key: str = answer.json()["secret"]

    def says(self, call: str, body: dict[str, Any]) -> None:
        answer = httpx.post(f"{self.box.url}/v1/{call}", json=body, auth=(self.key, ""), timeout=30)
        assert answer.status_code == 200, answer.text

    def signs_up(self, user: str, email: str, state: str = "subscribed") -> None:
        traits = {"email": email, "consent": {"email": state}}
        self.says("identify", {"userId": user, "traits": traits})
        self.says("track", {"userId": user, "event": "Signed Up"})

    def contact(self, ref: str) -> str | None:
        found = self.box.api("GET", f"/api/v1/identities/{ref}")
        return found.json()["contact"] if found.status_code == 200 else None


def advance(box: Box, by: str) -> None:
    answer = box.api("POST", "/api/v1/demo/clock", {"advance": by})
    assert answer.json()["settled"], answer.text


def sent(box: Box, contact: str) -> list[dict[str, Any]]:
    listed = box.api("GET", f"/api/v1/messages?contact={contact}&limit=100").json()["items"]
    return [each for each in listed if each["state"] in {"accepted", "delivered"}]


def test_two_contacts_inside_a_journey_become_one_and_get_each_step_once(
    new_box: Callable[..., Box],
) -> None:
    box = new_box()
    shop = Shop(box)
    shop.signs_up("u1", "ada@example.com")
    shop.signs_up("u2", "ada@work.example")
    first = until(lambda: shop.contact("email:ada@example.com"))
    second = until(lambda: shop.contact("email:ada@work.example"))
    assert first != second
    advance(box, "PT1M")
    shop.says("alias", {"previousId": "u1", "userId": "u2"})
    until(lambda: shop.contact("email:ada@example.com") == second)
    advance(box, "P10D")
    steps = [each["step"] for each in sent(box, second)]
    # Both had the first one before they were one; every later one comes once.
    assert sorted(steps) == ["welcome-1", "welcome-1", "welcome-2", "welcome-3"]
    enrollments = box.api("GET", f"/api/v1/enrollments?contact={second}").json()["items"]
    reasons = [each["reason"] for each in enrollments]
    assert "merged" in reasons, (
        enrollments,
        box.api("GET", f"/api/v1/messages?contact={second}").text,
    )
    timeline = box.api("GET", f"/api/v1/contacts/{first}/timeline?limit=200").json()["items"]
    assert sum(each["name"] == "contact.merged" for each in timeline) == 1


def test_unsubscribed_wins_when_two_become_one(new_box: Callable[..., Box]) -> None:
    box = new_box()
    shop = Shop(box)
    shop.signs_up("u1", "ada@example.com", "unsubscribed")
    until(lambda: shop.contact("email:ada@example.com"))
    advance(box, "PT1M")
    joined = {"email": "ada@work.example", "consent": {"email": "subscribed"}}
    shop.says("identify", {"userId": "u2", "traits": joined})
    second = until(lambda: shop.contact("email:ada@work.example"))
    shop.says("alias", {"previousId": "u1", "userId": "u2"})
    until(lambda: shop.contact("email:ada@example.com") == second)
    advance(box, "PT1M")
    shop.says("track", {"userId": "u2", "event": "Signed Up"})
    advance(box, "P10D")
    assert sent(box, second) == []
    contact = box.api("GET", f"/api/v1/contacts/{second}").json()
    assert contact["consent"]["email"]["state"] == "unsubscribed"


def test_an_erased_person_stays_away_until_they_come_back_themselves(
    new_box: Callable[..., Box], tmp_path: Path
) -> None:
    box = new_box()
    shop = Shop(box)
    shop.signs_up("u1", "ada@example.com")
    contact = until(lambda: shop.contact("email:ada@example.com"))
    advance(box, "PT1M")
    out = tmp_path / "ada.json"
    exported = box.command("contacts", "export", "email:ada@example.com", "--out", str(out))
    assert exported.returncode == 0, exported.stderr
    document = json.loads(out.read_text("utf-8"))
    assert document["contact"] == contact
    assert document["journeys"]["enrollments"]
    assert document["mail"]["messages"]
    assert document["history"]["timeline"]

    erased = box.command("contacts", "erase", "email:ada@example.com", "--yes", "--json")
    assert erased.returncode == 0, erased.stderr
    assert json.loads(erased.stdout)["applied"]
    advance(box, "PT1M")
    assert box.api("GET", f"/api/v1/contacts/{contact}").status_code == 404
    kept = box.api("GET", f"/api/v1/messages?contact={contact}").json()["items"]
    assert kept
    assert "ada@example.com" not in json.dumps(kept)

    table = tmp_path / "people.csv"
    table.write_text(
        f"{CONSENT_COLUMNS}\nada@example.com,Ada,subscribed,2024-01-01T00:00:00Z,shop\n"
        "bob@example.com,Bob,subscribed,2024-01-01T00:00:00Z,shop\n"
    )
    assert box.command("contacts", "import", str(table)).returncode == 0
    until(lambda: shop.contact("email:bob@example.com"))
    assert shop.contact("email:ada@example.com") is None

    placed = {"userId": "u1", "event": "Order Completed",
              "properties": {"order_id": "9", "email": "ada@example.com"}}  # fmt: skip
    shop.says("track", placed)
    again = until(lambda: shop.contact("email:ada@example.com"))
    assert again != contact
