"""Finding a mail again."""

import httpx
import pytest

from chappe_onebox.inbox import Inbox
from chappe_onebox.inbox.search import BadQueryError, parse_query
from tests.unit.inbox.smtp_client import Client, mail


@pytest.fixture
async def filled(inbox: Inbox, client: Client) -> None:
    await client.send(
        mail("Your Cart is waiting", to="Ann <ann@example.com>", message_id="<one@example.com>"),
        to="ann@example.com",
    )
    await client.send(
        mail("Welcome, Zoé", to="Jo Ann <joann@example.com>", message_id="<two@example.com>"),
        to="JoAnn@example.com",
    )
    await client.send(mail("100% off_today", to="list@example.com"), to="hidden@example.com")


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("to:ann@example.com", ["1"]),
        ("to:ANN@example.com", ["1"]),
        ('to:"joann@example.com"', ["2"]),
        ("to:hidden@example.com", ["3"]),
        ("to:list@example.com", ["3"]),
        ("to:ann", ["2", "1"]),
        ("to:nobody@example.com", []),
        ("from:shop@example.com", ["3", "2", "1"]),
        ('from:"the shop"', ["3", "2", "1"]),
        ("subject:cart", ["1"]),
        ('subject:"cart is"', ["1"]),
        ("subject:zoé", ["2"]),
        ("subject:ZOÉ", ["2"]),
        ("subject:100%", ["3"]),
        ("subject:_today", ["3"]),
        ("subject:%", ["3"]),
        ("message-id:<one@example.com>", ["1"]),
        ("Message-ID:two@example.com", ["2"]),
        ("welcome", ["2"]),
        ("to:ann subject:welcome", ["2"]),
        ("to:ann -subject:welcome", ["1"]),
        ("!cart", ["3", "2"]),
        ("one@example.com", ["1"]),
        ("x' or '1'='1", []),
        ("tag:unknown", []),
        ('subject:"cart', ["1"]),
    ],
)
async def test_a_search_finds_newest_first(
    web: httpx.AsyncClient, query: str, ids: list[str]
) -> None:
    answer = await web.get("/api/v1/search", params={"query": query})
    assert answer.status_code == 200
    found = answer.json()
    assert [item["ID"] for item in found["messages"]] == ids
    assert found["messages_count"] == len(ids)
    assert found["total"] == 3


@pytest.mark.parametrize("query", ["", "   ", "x" * 1_001, "a " * 21])
def test_a_search_that_cannot_be_read_says_why(query: str) -> None:
    with pytest.raises(BadQueryError, match="search"):
        parse_query(query)


@pytest.mark.parametrize("query", ["\0", "\ud800", '"', '""', "to:", 'to:""', "-", "(((", "%"])
async def test_any_query_gets_an_answer(web: httpx.AsyncClient, query: str) -> None:
    encoded = httpx.QueryParams({"query": query.encode("utf-8", "replace").decode()})
    answer = await web.get("/api/v1/search", params=encoded)
    assert answer.status_code in {200, 400}
    assert answer.headers["content-type"] == "application/json"
