"""A shop moves in: its people and its suppressions come as files, and nobody is woken."""

import json
import re
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.box import Box, chappe, until

HEAD = "email,first_name,consent_email,consent_email_at,consent_email_source"


def consent_of(box: Box, email: str) -> str | None:
    found = box.api("GET", f"/api/v1/contacts/email:{email}")
    if found.status_code != 200:
        return None
    return found.json()["consent"].get("email", {}).get("state")


def imported(box: Box, file: Path, *more: str) -> dict[str, Any]:
    done = box.command("contacts", "import", str(file), "--json", *more)
    return json.loads(done.stdout) | {"exit": done.returncode}


def test_a_table_comes_in_by_the_command_and_a_second_run_changes_nothing(
    box: Box, tmp_path: Path
) -> None:
    file = tmp_path / "people.csv"
    rows = [f"move{n}@example.com;Zoé;;;" for n in range(2_500)]
    file.write_bytes("\n".join([HEAD.replace(",", ";"), *rows, "nobody;x;;;"]).encode("cp1252"))
    dry = imported(box, file, "--dry-run")
    assert (dry["exit"], dry["taken"], dry["refused"]) == (2, 2_500, 1)
    assert dry["errors"][0]["where"] == f"{file}:2502:1"
    assert dry["errors"][0]["row"] == 2_502
    assert box.api("GET", "/api/v1/contacts/email:move0@example.com").status_code == 404
    first = imported(box, file)
    assert (first["taken"], first["refused"], first["in_before"]) == (2_500, 1, 0)

    def last() -> Any:
        found = box.api("GET", "/api/v1/contacts/email:move2499@example.com")
        return found.json() if found.status_code == 200 else None

    assert until(last)["traits"]["first_name"] == "Zoé"
    again = imported(box, file)
    assert (again["exit"], again["taken"], again["in_before"]) == (0, 0, 2_501)
    assert box.mails("move2499@example.com") == []


def test_an_import_never_raises_anybody_above_an_unsubscribe_of_ours(
    box: Box, tmp_path: Path
) -> None:
    email = "left@example.com"
    box.press("sign_up", email)
    (mail, *_) = until(lambda: box.mails(email))
    raw = httpx.get(f"{box.endpoints['inbox']}/api/v1/message/{mail['ID']}/headers").json()
    link = re.search(r"<(http[^>]+)>", raw["List-Unsubscribe"][0])
    assert link is not None
    form = {"List-Unsubscribe": "One-Click"}
    assert httpx.post(link[1], data=form).status_code == 200
    until(lambda: consent_of(box, email) == "unsubscribed" or None)
    file = tmp_path / "people.csv"
    file.write_text(
        f"{HEAD}\n{email},Lou,yes,2024-05-01T10:00:00Z,old sender\nmark@example.com,M,,,\n"
    )
    assert imported(box, file)["taken"] == 2
    until(lambda: box.api("GET", "/api/v1/contacts/email:mark@example.com").is_success or None)

    def renamed() -> bool | None:
        timeline = box.api("GET", f"/api/v1/contacts/email:{email}/timeline").json()["items"]
        return any(each["name"] == "contact.updated" for each in timeline) or None

    until(renamed)
    assert consent_of(box, email) == "unsubscribed"


def test_suppressions_come_in_by_the_command(box: Box, tmp_path: Path) -> None:
    file = tmp_path / "postmark.csv"
    file.write_text(
        "EmailAddress,SuppressionReason,Origin,CreatedAt\n"
        "gone@example.com,HardBounce,Recipient,2025-01-01T00:00:00Z\nnobody,HardBounce,,\n"
    )
    done = box.command("suppressions", "import", str(file), "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["taken"], found["new"], found["refused"]) == (2, 1, 1, 1)
    assert found["errors"][0]["where"] == f"{file}:3:1"
    items = box.api("GET", "/api/v1/suppressions?limit=500").json()["items"]
    assert ("gone@example.com", "bounced") in [(i["address"], i["reason"]) for i in items]


def test_a_server_that_is_away_is_status_3(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("email\na@example.com\n")
    nobody = {"CHAPPE_URL": "http://127.0.0.1:9", "CHAPPE_TOKEN": "t"}
    assert chappe("contacts", "import", str(file), "--json", env=nobody).returncode == 3
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    done = chappe("contacts", "import", str(empty), "--json", env=nobody)
    assert done.returncode == 2
    assert json.loads(done.stdout)["errors"][0]["where"] == f"{empty}:1:1"
