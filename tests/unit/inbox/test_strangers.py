"""Mails come from strangers, and some are not kind."""

import datetime as dt

import httpx
import pytest

from chappe_onebox.inbox.headers import decoded, parse_head
from chappe_onebox.inbox.listing import read_mail
from chappe_onebox.inbox.parse import read_content, snippet_of, text_of_html
from tests.unit.inbox.smtp_client import Client, mail

NOW = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)

HOSTILE = {
    "empty": b"",
    "no head": b"\r\njust text",
    "no body": b"Subject: alone",
    "not a header": b"this is no header\r\nSubject: yes\r\n\r\nx",
    "latin-1 head": b"Subject: caf\xe9\r\nFrom: Zo\xe9 <z@example.com>\r\n\r\nx",
    "utf-8 head": "Subject: café\r\nFrom: Zoé <zoé@exämple.com>\r\n\r\nx".encode(),
    "nul": b"Subject: a\0b\r\n\r\n\0",
    "unknown charset": (
        b"Subject: =?klingon?q?x?=\r\nContent-Type: text/plain; charset=klingon\r\n\r\nx"
    ),
    "codec that is no charset": b"Content-Type: text/plain; charset=hex\r\n\r\nzz",
    "surrogates": (
        b"Subject: =?utf-7?q?+2AA-?=\r\nContent-Type: text/plain; charset=utf-7\r\n\r\n+2AA-"
    ),
    "bad base64": b"Subject: =?utf-8?b?A?=\r\nContent-Transfer-Encoding: base64\r\n\r\n%%%",
    "nested comments": b"From: " + b"(" * 19_000 + b"\r\nTo: " + b"(" * 19_000 + b"\r\n\r\nx",
    "endless head": b"X: y\r\n" * 60_000,
    "year zero": b"Date: Mon, 00 Foo 0000 99:99:99 +9999\r\n\r\nx",
    "far date": b"Date: Fri, 31 Dec 9999 23:59:59 -2359\r\n\r\nx",
    "part without end": b"Content-Type: multipart/mixed; boundary=B\r\n\r\n--B\r\n",
    "multipart without boundary": b"Content-Type: multipart/mixed\r\n\r\nx",
    "own boundary": b'Content-Type: multipart/mixed; boundary=""\r\n\r\n--\r\n--\r\n',
    "deep": b"".join(
        b"Content-Type: multipart/mixed; boundary=B%d\r\n\r\n--B%d\r\n" % (n, n)
        for n in range(2_000)
    ),
    "many parts": b"Content-Type: multipart/mixed; boundary=B\r\n\r\n"
    + b"--B\r\n\r\nx\r\n" * 3_000,
    "rfc822": b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nx",
    "odd file name": b"Content-Disposition: attachment; filename*=klingon''%ff%0a\r\n\r\nx",
    "bad id": b"Message-ID: <<a b@c>\r\nContent-ID: \xff\r\nContent-Type: image/png\r\n\r\nx",
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE.keys())
async def test_whatever_comes_is_listed_and_shown(
    web: httpx.AsyncClient, client: Client, raw: bytes
) -> None:
    assert (await client.send(raw)).startswith("250")
    for path in (
        "/api/v1/messages",
        "/api/v1/message/1",
        "/api/v1/message/1/headers",
        "/api/v1/message/1/raw",
        "/view/1.html",
        "/api/v1/message/1/part/1",
    ):
        answer = await web.get(path)
        assert answer.status_code == 200 or path.endswith("/part/1")
        if answer.headers["content-type"] == "application/json":
            answer.json()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("=?utf-8?q?caf=C3=A9_au_lait?=", "café au lait"),
        ("=?UTF-8?B?Y2Fmw6k=?= noir", "café noir"),
        ("=?utf-8?q?caf=C3?= \t=?utf-8?q?=A9?=", "café"),
        ("=?iso-8859-1?q?caf=E9?= =?utf-8?q?=C3=A9?=", "caféé"),
        ("a =?utf-8*en?q?b?= c", "a b c"),
        ("=?utf-8?q?a=0D=0ABcc:_x?=", "a Bcc: x"),
        ("=?utf-8?x?y?=", "=?utf-8?x?y?="),
        ("=?", "=?"),
    ],
)
def test_encoded_words_become_text(value: str, text: str) -> None:
    assert decoded(value) == text


def test_header_bytes_are_utf_8_or_else_latin_1() -> None:
    assert parse_head("A: é".encode()) == [("A", "é")]
    assert parse_head(b"A: \xe9") == [("A", "é")]


def test_a_mail_without_from_shows_its_envelope_sender() -> None:
    new = read_mail(b"\r\nx", sender="a@example.com", recipients=("B@x.com",), received_at=NOW)
    assert new.listing["From"] == {"Name": "", "Address": "a@example.com"}
    assert new.addresses == {"b@x.com"}


def test_parts_are_bounded() -> None:
    assert read_content(HOSTILE["many parts"]).text.count("x") < 600


def test_the_words_of_html_leave_out_what_is_not_shown() -> None:
    document = (
        "<html><head><title>no</title></head><STYLE>no{}</STYLE><!-- no --><p>Yes &amp; "
        "<script>no()</script>so</p><styled>be</styled><b"
    )
    assert text_of_html(document).split() == ["Yes", "&", "so", "be"]
    assert text_of_html("<style>" * 10_000) == ""


def test_a_snippet_is_taken_from_html_when_there_is_nothing_else() -> None:
    raw = b"Content-Type: text/html\r\n\r\n<style>p{}</style><p>Hello\r\n  there</p>"
    assert snippet_of(raw) == "Hello there"


async def test_a_hostile_document_is_shown_in_a_sandbox_without_scripts(
    web: httpx.AsyncClient, client: Client
) -> None:
    html = '<script>x</script><a href="https://e.example" target="_top" rel="opener">go</a><area/>'
    await client.send(mail(html=html + '<img src="cid:none">'))
    answer = await web.get("/view/1.html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script" not in policy
    assert "sandbox allow-popups allow-popups-to-escape-sandbox" in policy
    assert "form-action 'none'" in policy
    assert '<a target="_blank" rel="noopener noreferrer" href="https://e.example"' in answer.text
    assert '<area target="_blank" rel="noopener noreferrer"/>' in answer.text
    assert answer.headers["referrer-policy"] == "no-referrer"


async def test_a_mails_own_pictures_are_found(web: httpx.AsyncClient, client: Client) -> None:
    await client.send(
        b"Content-Type: multipart/related; boundary=R\r\n\r\n--R\r\nContent-Type: text/html\r\n\r\n"
        b'<img src="cid:logo@x">\r\n--R\r\nContent-Type: image/png\r\nContent-ID: <logo@x>\r\n\r\n'
        b"png\r\n--R--"
    )
    assert '<img src="/api/v1/message/1/part/2">' in (await web.get("/view/1.html")).text
