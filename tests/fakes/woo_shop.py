"""A WooCommerce shop in memory: REST API v3 with counted pages, at the root of its host.

Written from WooCommerce's REST reference, not from our client.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request, Response

KEYS = "ck_right:cs_right"


@dataclass
class WooShop:
    """Its documents, its troubles, and what it was asked."""

    orders: list[dict[str, Any]] = field(default_factory=list)
    customers: list[dict[str, Any]] = field(default_factory=list)
    fails: list[int] = field(default_factory=list)
    says_totals: bool = True
    html: bool = False
    asked: list[str] = field(default_factory=list)
    between: Callable[[], None] | None = None
    """Called once, after the first page of orders: what happens in a shop meanwhile."""

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.middleware("http")
        async def troubles(request: Request, go_on: Any) -> Response:
            self.asked.append(f"{request.url.path}?{request.url.query}")
            right = f"Basic {base64.b64encode(KEYS.encode()).decode()}"
            if request.headers.get("Authorization") != right:
                return Response('{"code":"woocommerce_rest_cannot_view"}', 401)
            if self.html:
                return Response("<html>Briefly unavailable for scheduled maintenance.</html>")
            if self.fails:
                return Response("", self.fails.pop(0))
            answer: Response = await go_on(request)
            return answer

        @app.get("/wp-json/wc/v3/orders")
        async def orders(request: Request) -> Response:
            query = request.query_params
            found = [each for each in self.orders if _within(each, query)]
            assert query["orderby"] == "modified"
            assert query["dates_are_gmt"] == "true"
            found.sort(key=lambda each: (each["date_modified_gmt"], each["id"]))
            answer = self._page(found, query)
            if self.between is not None:
                change, self.between = self.between, None
                change()
            return answer

        @app.get("/wp-json/wc/v3/customers")
        async def customers(request: Request) -> Response:
            found = sorted(self.customers, key=lambda each: each["date_created_gmt"], reverse=True)
            assert request.query_params["orderby"] == "registered_date"
            return self._page(found, request.query_params)

        _ = (troubles, orders, customers)
        return app

    def _page(self, found: list[dict[str, Any]], query: Any) -> Response:
        size = int(query.get("per_page", "10"))
        start = int(query.get("offset") or (int(query.get("page", "1")) - 1) * size)
        headers = {}
        if self.says_totals:
            headers = {
                "X-WP-Total": str(len(found)),
                "X-WP-TotalPages": str(-(-len(found) // size)),
            }
        body = json.dumps(found[start : start + size])
        return Response(body, media_type="application/json", headers=headers)


def _within(order: dict[str, Any], query: Any) -> bool:
    """Both limits are exclusive, as WordPress's date queries are."""
    at = order["date_modified_gmt"]
    after, before = query.get("modified_after"), query.get("modified_before")
    return (after is None or at > after) and (before is None or at < before)
