from typing import Any

import httpx
from fastapi import FastAPI

from chappe.service import Service
from chappe_onebox.box.face import create_face


async def _nothing(*_: Any) -> None: ...


def _service(name: str, path: str, checks: dict[str, Any]) -> Service:
    app = FastAPI()
    app.add_api_route(path, _nothing)
    return Service(name=name, app=app, patterns=(path,), run=_nothing, stop=_nothing, checks=checks)


async def _bad() -> None:
    raise RuntimeError("claiming shards")


async def _ask(app: FastAPI, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://box") as client:
        return await client.get(path)


async def test_every_service_is_ready_or_named() -> None:
    services = [_service("edge", "/in", {"log": _nothing}), _service("sender", "/p", {"a": _bad})]
    answer = await _ask(create_face("onebox", services, {"postgres": _nothing}), "/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {
        "postgres": "ok",
        "edge.log": "ok",
        "sender.a": "claiming shards",
    }


async def test_one_document_describes_every_service() -> None:
    services = [_service("edge", "/in", {}), _service("sender", "/p", {})]
    document = (await _ask(create_face("onebox", services, {}), "/openapi.json")).json()
    assert {"/in", "/p", "/livez", "/readyz", "/version"} <= document["paths"].keys()
