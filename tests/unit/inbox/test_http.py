"""What people and tests read, in Mailpit's shape."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from starlette.types import Message

from chappe.clock import HandClock
from chappe_onebox.inbox import Inbox
from tests.unit.inbox.smtp_client import PATIENCE_SECONDS, Client, mail

MIXED = b"""From: =?utf-8?q?Zo=C3=A9?= <zoe@example.com>\r
Reply-To: help@example.com\r
To: "Ann, B." <ann@example.com>, bob@example.com\r
Cc: carl@example.com\r
Subject: =?utf-8?b?w4l0w6k=?=\r
 continued\r
Date: Sun, 22 Nov 2026 10:00:00 +0100\r
message-id: <mixed@example.com>\r
DKIM-Signature: v=1; a=b;\r
\tc=d\r
X-Tag: one\r
X-Tag: two\r
MIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary=M\r
\r
--M\r
Content-Type: multipart/related; boundary=R\r
\r
--R\r
Content-Type: multipart/alternative; boundary=A\r
\r
--A\r
Content-Type: text/plain; charset=iso-8859-1\r
Content-Transfer-Encoding: quoted-printable\r
\r
caf=E9 for   you\r
--A\r
Content-Type: text/html; charset=utf-8\r
\r
<p>caf\xc3\xa9 <a href="https://shop.example/">go</a> <img src="cid:logo"></p>\r
--A--\r
--R\r
Content-Type: image/png\r
Content-ID: <logo>\r
Content-Disposition: inline; filename=logo.png\r
Content-Transfer-Encoding: base64\r
\r
iVBORw0KGgo=\r
--R--\r
--M\r
Content-Type: text/html; name="evil.html"\r
Content-Disposition: attachment; filename="evil.html"\r
\r
<script>alert(1)</script>\r
--M--"""


async def test_a_mail_is_listed_under_mailpits_names(
    web: httpx.AsyncClient, client: Client
) -> None:
    await client.begin(sender="bounce@example.com", to="ann@example.com")
    await client.write(MIXED + b"\r\n.\r\n")
    await client.reply()
    await client.send(mail("Second"))
    answer = await web.get("/api/v1/messages")
    found = answer.json()
    assert {key: found[key] for key in found if key != "messages"} == {
        "total": 2,
        "unread": 2,
        "count": 2,
        "messages_count": 2,
        "start": 0,
        "tags": [],
    }
    assert [item["Subject"] for item in found["messages"]] == ["Second", "Été continued"]
    assert found["messages"][1] == {
        "ID": "1",
        "MessageID": "mixed@example.com",
        "Read": False,
        "From": {"Name": "Zoé", "Address": "zoe@example.com"},
        "To": [
            {"Name": "Ann, B.", "Address": "ann@example.com"},
            {"Name": "", "Address": "bob@example.com"},
        ],
        "Cc": [{"Name": "", "Address": "carl@example.com"}],
        "Bcc": [],
        "ReplyTo": [{"Name": "", "Address": "help@example.com"}],
        "Subject": "Été continued",
        "Created": "2026-11-22T09:30:00.000Z",
        "Tags": [],
        "Size": len(MIXED) + 2,
        "Attachments": 1,
        "Snippet": "café for you",
    }


async def test_one_mail_is_taken_apart(web: httpx.AsyncClient, client: Client) -> None:
    await client.begin(sender="bounce@example.com", to="secret@example.com")
    await client.write(MIXED + b"\r\n.\r\n")
    await client.reply()
    found = (await web.get("/api/v1/message/1")).json()
    assert found["ReturnPath"] == "bounce@example.com"
    assert found["Bcc"] == [{"Name": "", "Address": "secret@example.com"}]
    assert found["Date"] == "2026-11-22T09:00:00.000Z"
    assert found["Text"] == "café for   you"
    assert found["HTML"].startswith("<p>café")
    assert found["Size"] == len(MIXED) + 2
    assert found["Tags"] == []
    assert [(file["PartID"], file["FileName"]) for file in found["Attachments"]] == [
        ("4", "evil.html")
    ]
    assert found["Inline"] == [
        {
            "PartID": "3",
            "FileName": "logo.png",
            "ContentType": "image/png",
            "ContentID": "logo",
            "Size": 8,
        }
    ]
    assert (await web.get("/api/v1/message/latest")).json()["ID"] == "1"


async def test_the_source_is_what_was_sent_byte_for_byte(
    web: httpx.AsyncClient, client: Client
) -> None:
    await client.send(MIXED)
    answer = await web.get("/api/v1/message/1/raw")
    assert answer.content == MIXED + b"\r\n"
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_headers_are_unfolded_lists_with_canonical_names(
    web: httpx.AsyncClient, client: Client
) -> None:
    await client.send(MIXED)
    headers = (await web.get("/api/v1/message/1/headers")).json()
    assert headers["X-Tag"] == ["one", "two"]
    assert headers["Message-Id"] == ["<mixed@example.com>"]
    assert headers["Dkim-Signature"] == ["v=1; a=b; c=d"]
    assert headers["Mime-Version"] == ["1.0"]


async def test_opening_a_mail_marks_it_read(web: httpx.AsyncClient, client: Client) -> None:
    await client.send(mail())
    await client.send(mail())
    await web.get("/api/v1/message/1")
    found = (await web.get("/api/v1/messages")).json()
    assert found["unread"] == 1
    assert [item["Read"] for item in found["messages"]] == [False, True]


async def test_received_times_follow_the_business_clock(
    web: httpx.AsyncClient, client: Client, clock: HandClock
) -> None:
    clock.set(clock.now().replace(year=2030))
    await client.send(mail())
    found = (await web.get("/api/v1/messages")).json()
    assert found["messages"][0]["Created"] == "2030-11-22T09:30:00.000Z"


async def test_more_than_five_hundred_mails_are_paged_through(
    web: httpx.AsyncClient, client: Client
) -> None:
    for _ in range(520):
        await client.send(b"Subject: x\r\n\r\nhi")
    seen: list[str] = []
    while page := (
        await web.get("/api/v1/messages", params={"limit": 500, "start": len(seen)})
    ).json()["messages"]:
        seen += [item["ID"] for item in page]
    assert seen == [str(number) for number in range(520, 0, -1)]
    assert len((await web.get("/api/v1/messages")).json()["messages"]) == 50
    assert len((await web.get("/api/v1/messages?limit=9999")).json()["messages"]) == 500
    found = (await web.get("/api/v1/search?query=to:zoe@example.com&limit=500&start=500")).json()
    assert (found["messages_count"], len(found["messages"])) == (520, 20)


@pytest.mark.parametrize(
    "query", ["limit=x", "limit=-1", "start=-1", "start=1e3", "limit=", "limit=9" + "9" * 40]
)
@pytest.mark.parametrize("path", ["/api/v1/messages?", "/api/v1/search?query=x&"])
async def test_a_malformed_value_is_a_400_in_json(
    web: httpx.AsyncClient, path: str, query: str
) -> None:
    answer = await web.get(path + query)
    assert answer.status_code == 400
    assert set(answer.json()) == {"Error"}


@pytest.mark.parametrize("message", ["2", "0", "-1", "x", "²", "9" * 40, "latest", "%00"])
async def test_a_mail_that_is_not_there_is_a_404_in_json(
    web: httpx.AsyncClient, message: str
) -> None:
    for rest in ("", "/raw", "/headers", "/part/1"):
        answer = await web.get(f"/api/v1/message/{message}{rest}")
        assert answer.status_code == 404
        assert set(answer.json()) == {"Error"}


async def test_named_mails_are_deleted_and_the_others_stay(
    inbox: Inbox, web: httpx.AsyncClient, client: Client
) -> None:
    for number in range(4):
        await client.send(mail(message_id=f"<{number}@example.com>"))
    body = json.dumps({"IDs": ["1", "3", "77", "x"]})
    answer = await web.request("DELETE", "/api/v1/messages", content=body)
    assert (answer.status_code, answer.text) == (200, "ok")
    found = (await web.get("/api/v1/messages")).json()
    assert [item["ID"] for item in found["messages"]] == ["4", "2"]
    assert found["unread"] == inbox.count() == 2
    assert not await inbox.has("0@example.com")


@pytest.mark.parametrize("body", ["", "{}", '{"IDs": []}'])
async def test_naming_none_deletes_all_and_numbers_are_not_used_again(
    inbox: Inbox, web: httpx.AsyncClient, client: Client, body: str
) -> None:
    await client.send(mail(message_id="<x@example.com>"))
    await web.request("DELETE", "/api/v1/messages", content=body)
    assert inbox.count() == 0
    assert not await inbox.has("x@example.com")
    assert (await web.get("/api/v1/search?query=to:zoe@example.com")).json()["messages"] == []
    assert (await client.send(mail())).endswith("Stored as 2")


@pytest.mark.parametrize("body", ["{", '{"IDs": "1"}', '{"IDs": [1]}', "[]", "\0"])
async def test_a_malformed_delete_deletes_nothing(
    inbox: Inbox, web: httpx.AsyncClient, client: Client, body: str
) -> None:
    await client.send(mail())
    answer = await web.request("DELETE", "/api/v1/messages", content=body)
    assert answer.status_code == 400
    assert inbox.count() == 1


async def test_files_are_given_out_as_downloads_and_pictures_as_pictures(
    web: httpx.AsyncClient, client: Client
) -> None:
    await client.send(MIXED)
    evil = await web.get("/api/v1/message/1/part/4")
    assert evil.headers["content-type"] == "application/octet-stream"
    assert evil.headers["content-disposition"].startswith("attachment;")
    assert "sandbox" in evil.headers["content-security-policy"]
    picture = await web.get("/api/v1/message/1/part/3")
    assert picture.headers["content-type"] == "image/png"
    assert picture.content == b"\x89PNG\r\n\x1a\n"


async def test_only_a_named_origin_may_read_from_a_browser(
    inbox: Inbox, web: httpx.AsyncClient
) -> None:
    inbox.app.allow_origin("http://127.0.0.1:8000")
    for origin, allowed in (("http://127.0.0.1:8000", True), ("http://evil.example", False)):
        answer = await web.get("/api/v1/messages", headers={"Origin": origin})
        assert ("access-control-allow-origin" in answer.headers) is allowed


async def test_an_open_page_is_told_of_a_new_mail_and_forgotten_when_it_goes(
    inbox: Inbox, client: Client
) -> None:
    sent: asyncio.Queue[Message] = asyncio.Queue()
    gone = asyncio.Event()

    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "method": "GET",
        "path": "/api/v1/stream",
        "query_string": b"",
        "headers": [],
    }
    page = asyncio.create_task(inbox.app(scope, receive, sent.put))
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert (await sent.get())["status"] == 200
        assert b'"total":0' in (await sent.get())["body"]
        await client.send(mail())
        assert b'"total":1' in (await sent.get())["body"]
        assert inbox._changes.subscribers == 1
        gone.set()
        await page
    assert inbox._changes.subscribers == 0


async def test_streams_end_when_the_inbox_closes(inbox: Inbox) -> None:
    events = inbox._changes.follow(lambda: "news")
    assert await anext(events) == "news"
    inbox.end_streams()
    assert await anext(events, None) is None
