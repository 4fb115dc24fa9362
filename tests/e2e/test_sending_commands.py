"""Domains, stops and captured mail, by the command against a running box."""

import email
import email.policy
import json
import subprocess
from collections.abc import Callable
from typing import Any

from tests.e2e.box import Box, until


def _json(done: subprocess.CompletedProcess[str], code: int = 0) -> Any:
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_a_domain_is_added_listed_rotated_and_removed(box: Box) -> None:
    added = _json(box.command("domains", "add", "shop.example", "--ed25519", "--json"))
    assert {each["algorithm"] for each in added["keys"]} == {"rsa-sha256", "ed25519-sha256"}
    assert any("_domainkey.shop.example" in each["name"] for each in added["publish"])
    assert "PRIVATE" not in json.dumps(added)
    rotated = _json(box.command("domains", "rotate", "shop.example", "--json"))
    assert len(rotated["keys"]) > len(added["keys"])
    listed = _json(box.command("domains", "list", "--json"))["items"]
    assert "shop.example" in {each["domain"] for each in listed}
    removed = _json(box.command("domains", "remove", "shop.example", "--json"))
    assert removed == {"domain": "shop.example", "removed": True}
    assert box.command("domains", "remove", "shop.example").returncode == 2


def test_a_stop_holds_mail_and_tells_who_already_got_it(box: Box) -> None:
    box.press("sign_up", "before@example.com")
    until(lambda: box.mails("before@example.com"))

    def stop() -> Any:
        words = ("--journey", "welcome", "--reason", "a wrong price", "--json")
        return _json(box.command("sending", "stop", *words))

    stopped = stop()
    try:
        assert "before@example.com" in {each["address"] for each in stopped["received"]}
        shown = _json(box.command("sending", "status", "--json"))
        assert [each["id"] for each in shown["stops"]] == [stopped["id"]]
        box.press("sign_up", "after@example.com")

        def waiting() -> list[Any]:
            ref = ("--contact", "email:after@example.com")
            found = _json(box.command("messages", "list", *ref, "--json"))["items"]
            return [each for each in found if each["state"] == "pending"]

        until(waiting)
        assert box.mails("after@example.com") == []
    finally:
        resumed = _json(box.command("sending", "resume", stopped["id"], "--json"))
    assert resumed == {"resumed": [stopped["id"]]}
    until(lambda: box.mails("after@example.com"))
    got = _json(box.command("sending", "received", stopped["id"], "--json"))["items"]
    assert "before@example.com" in {each["address"] for each in got}


def test_captured_mail_is_listed_shown_and_never_sent(new_box: Callable[..., Box]) -> None:
    box = new_box(CHAPPE_DELIVERY="capture")
    box.press("sign_up", "kept@example.com")

    def captured() -> list[Any]:
        return _json(box.command("messages", "list", "--reason", "captured", "--json"))["items"]

    (message,) = until(captured)
    assert (message["state"], message["address"]) == ("skipped", "kept@example.com")
    kept = box.command("messages", "show", message["id"], "--mail")
    assert kept.returncode == 0, kept.stderr
    mail = email.message_from_string(kept.stdout, policy=email.policy.default)
    assert (mail["To"], mail["Chappe-Message"]) == ("kept@example.com", message["id"])
    assert box.mails("kept@example.com") == []

    live = _json(box.command("sending", "go-live", "--json"))
    assert live["delivery"] == "live"
    assert "CHAPPE_DELIVERY" in live["warning"]
    box.press("sign_up", "sent@example.com")
    until(lambda: box.mails("sent@example.com"))
    assert box.mails("kept@example.com") == []
    assert _json(box.command("messages", "list", "--state", "in_doubt", "--json"))["items"] == []
