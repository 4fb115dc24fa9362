import re
from typing import Any

import httpx
from fastapi import FastAPI

from chappe_onebox.demo.page import add_page
from chappe_onebox.demo.world import Source, World

WORLD = World(Source("src_1", "http://box/in/src_1", "s"), Source("src_2", "http://box", "wk_2"))
TOKEN = "</script><b>token"


async def _page(host: str, token: str | None = TOKEN) -> httpx.Response:
    app = FastAPI()
    add_page(app, world=lambda: WORLD, inbox_url="http://127.0.0.1:8025", token=token)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
        return await client.get("/")


async def test_the_page_asks_no_other_host_for_anything() -> None:
    page = await _page("127.0.0.1:8000")
    without_names = page.text.replace("http://www.w3.org/2000/svg", "")
    assert re.findall(r"""(?:src|href)=["'](?:https?:)?//""", without_names) == []
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "connect-src 'self' http://127.0.0.1:8025" in policy


async def test_the_token_is_for_this_machine_alone() -> None:
    assert "wk_2" in (await _page("localhost:8000")).text
    lured: Any = await _page("rebound.example:8000")
    assert '"token":null' in lured.text
    assert "wk_2" not in lured.text
    assert '"token":null' in (await _page("127.0.0.1:8000", token=None)).text


async def test_nothing_in_the_settings_ends_their_element() -> None:
    assert TOKEN not in (await _page("127.0.0.1:8000")).text
    assert "\\u003c/script>\\u003cb>token" in (await _page("127.0.0.1:8000")).text
