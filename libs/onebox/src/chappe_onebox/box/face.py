"""The addresses that a process with several services answers once for all of them."""

from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI

from chappe.http import Check, create_app
from chappe.service import Service

ADDRESSES = ("/livez", "/readyz", "/metrics", "/version", "/openapi.json")


def create_face(name: str, services: Sequence[Service], checks: dict[str, Check]) -> FastAPI:
    """``/readyz`` names every check of every service; ``/openapi.json`` describes them all."""
    every = dict(checks)
    for service in services:
        every |= {f"{service.name}.{what}": check for what, check in service.checks.items()}
    app = create_app(name, checks=every, distribution="chappe-onebox")
    app.openapi_url = None  # ours is asked for anew: it comes from the services
    app.router.routes[:] = [
        route for route in app.router.routes if getattr(route, "path", "") != "/openapi.json"
    ]
    own = app.openapi

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> dict[str, Any]:
        app.openapi_url = "/openapi.json"
        return merged(own(), [await document_of(service.app) for service in services])

    _ = openapi
    return app


def merged(first: dict[str, Any], others: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One OpenAPI document: the first one's head, everybody's paths and components."""
    document = dict(first)
    paths: dict[str, Any] = dict(document.get("paths", {}))
    components: dict[str, dict[str, Any]] = {}
    for other in (first, *others):
        for path, item in other.get("paths", {}).items():
            paths.setdefault(path, item)
        for kind, named in other.get("components", {}).items():
            components.setdefault(kind, {}).update(named)
    return document | {"paths": dict(sorted(paths.items())), "components": components}


async def document_of(app: Callable[..., Awaitable[None]]) -> dict[str, Any]:
    """Ask an app in this process for its OpenAPI document; empty when it has none."""
    body = bytearray()
    answered: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answered.append(message["status"])
        body.extend(message.get("body", b""))

    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/openapi.json",
        "raw_path": b"/openapi.json",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost")],
        "client": None,
        "server": None,
    }
    await app(scope, receive, send)
    if answered != [HTTPStatus.OK]:
        return {}
    return msgspec.json.decode(bytes(body), type=dict[str, Any])
