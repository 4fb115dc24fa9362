"""The page answers, and asks nobody else for anything."""

import base64
import hashlib
import re

import httpx
import pytest


@pytest.mark.parametrize("path", ["/", "/view/12", "/view/latest"])
async def test_the_page_answers_on_its_addresses(web: httpx.AsyncClient, path: str) -> None:
    answer = await web.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "<title>Inbox</title>" in answer.text


async def test_only_the_pages_own_script_and_style_may_run(web: httpx.AsyncClient) -> None:
    answer = await web.get("/")
    policy = answer.headers["content-security-policy"]
    for tag in ("script", "style"):
        inline = re.findall(rf"<{tag}>(.*?)</{tag}>", answer.text, re.DOTALL)
        assert len(inline) == 1
        digest = base64.b64encode(hashlib.sha256(inline[0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


async def test_the_page_asks_no_other_host_and_builds_nothing_from_strings(
    web: httpx.AsyncClient,
) -> None:
    text = (await web.get("/")).text
    hosts = set(re.findall(r"https?://[\w.]+", text))
    assert hosts == {"http://www.w3.org"}, "the namespace of its icon, which nobody fetches"
    for unsafe in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert unsafe not in text
    assert '"allow-popups allow-popups-to-escape-sandbox"' in text


async def test_an_unknown_address_is_a_404_in_json(web: httpx.AsyncClient) -> None:
    answer = await web.get("/nowhere")
    assert (answer.status_code, set(answer.json())) == (404, {"Error"})
