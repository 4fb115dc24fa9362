"""The APIs behind thin webhooks, in memory: BigCommerce, Stripe and Shopware on one host.

Written from the vendors' references, not from our client. ``troubles`` happen to the next
questions, one each; a question for a token is not troubled.
"""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request, Response

STORE = "abc123"
BIGCOMMERCE_TOKEN = f"{STORE}:bigtoken1"
STRIPE_TOKEN = "rk_test_restricted1"
SHOPWARE_TOKEN = "SWIAKEY:shopware-secret"
PRIVATE = "http://10.0.0.7/latest/meta-data"


@dataclass
class ThinShops:
    """Its documents by path, its troubles, and what it was asked.

    A trouble is a status, with ``retry-after`` where one is sent, or one of ``slow``, ``huge``,
    ``html``, ``redirect``.
    """

    documents: dict[str, Any] = field(default_factory=dict[str, Any])
    entities: dict[str, list[dict[str, Any]]] = field(
        default_factory=dict[str, list[dict[str, Any]]]
    )
    troubles: list[str] = field(default_factory=list[str])
    retry_after: str | None = None
    asked: list[str] = field(default_factory=list[str])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    sought: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    bearers: list[str] = field(default_factory=list[str])
    slow: asyncio.Event = field(default_factory=asyncio.Event)
    began: asyncio.Event = field(default_factory=asyncio.Event)

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/stores/{store}/{rest:path}")
        async def bigcommerce(store: str, rest: str, request: Request) -> Response:
            right = request.headers.get("X-Auth-Token") == BIGCOMMERCE_TOKEN.partition(":")[2]
            return await self._answer(request, rest, right=right and store == STORE)

        @app.get("/v1/{rest:path}")
        async def stripe(rest: str, request: Request) -> Response:
            right = request.headers.get("Authorization") == f"Bearer {STRIPE_TOKEN}"
            return await self._answer(request, f"v1/{rest}", right=right)

        @app.post("/api/oauth/token")
        async def token(request: Request) -> Response:
            given = await request.json()
            assert given["grant_type"] == "client_credentials"
            if f"{given['client_id']}:{given['client_secret']}" != SHOPWARE_TOKEN:
                return Response('{"errors":[{"code":"invalid_client"}]}', 401)
            self.bearers.append(f"bearer-{len(self.bearers) + 1}")
            answer = {"token_type": "Bearer", "expires_in": 600, "access_token": self.bearers[-1]}
            return Response(json.dumps(answer))

        @app.post("/api/search/{entity}")
        async def search(entity: str, request: Request) -> Response:
            criteria = await request.json()
            self.sought.append(criteria)
            found = [e for e in self.entities.get(entity, []) if e["id"] in criteria["ids"]]
            self.documents[f"api/search/{entity}"] = {"total": len(found), "data": found}
            newest = self.bearers[-1] if self.bearers else None
            right = request.headers.get("Authorization") == f"Bearer {newest}"
            return await self._answer(request, f"api/search/{entity}", right=right)

        _ = (bigcommerce, stripe, token, search)
        return app

    async def _answer(self, request: Request, path: str, *, right: bool) -> Response:
        self.asked.append(path + (f"?{request.url.query}" if request.url.query else ""))
        self.headers.append(dict(request.headers))
        self.began.set()
        if not right:
            return Response('{"error":"unauthorized"}', 401)
        trouble = self.troubles.pop(0) if self.troubles else None
        match trouble:
            case "slow":
                await self.slow.wait()
            case "huge":
                return Response(b'{"id":250,"pad":"' + b"x" * 2_000_000 + b'"}')
            case "html":
                return Response("<html>Maintenance</html>")
            case "redirect":
                return Response("", 302, {"Location": PRIVATE})
            case str() as status:
                after = {"Retry-After": self.retry_after} if self.retry_after else {}
                return Response("", int(status), after)
            case None:
                pass
        if path not in self.documents:
            return Response("", 404)
        return Response(json.dumps(self.documents[path]), media_type="application/json")
