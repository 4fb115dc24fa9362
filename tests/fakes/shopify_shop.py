"""A Shopify shop in memory: Admin REST lists with cursors and a leaky bucket, GraphQL for consent.

Written from shopify.dev's reference of the Admin API, not from our client.
"""

import asyncio
import datetime as dt
import json
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request, Response

VERSION = "2026-07"
TOKEN = "shpat_right"


def instant(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


@dataclass
class ShopifyShop:
    """Its documents, its troubles, and what it was asked."""

    orders: list[dict[str, Any]] = field(default_factory=list)
    customers: list[dict[str, Any]] = field(default_factory=list)
    checkouts: list[dict[str, Any]] = field(default_factory=list)
    scopes: set[str] = field(default_factory=lambda: {"read_orders", "read_all_orders"})
    forbidden: set[str] = field(default_factory=set)
    fails: list[int] = field(default_factory=list)
    """Statuses of the next answers, in place of the right ones."""
    throttled: int = 0
    """So many of the next GraphQL answers say THROTTLED."""
    redirect: str | None = None
    slow_seconds: float = 0.0
    forgets_places: bool = False
    calls_used: int = 1
    asked: list[str] = field(default_factory=list)
    consents: list[dict[str, Any]] = field(default_factory=list)
    """What was written, in order."""

    def app(self) -> FastAPI:
        app = FastAPI()
        base = f"/admin/api/{VERSION}"

        @app.middleware("http")
        async def troubles(request: Request, go_on: Any) -> Response:
            self.asked.append(f"{request.method} {request.url.path}?{request.url.query}")
            if self.slow_seconds:
                await asyncio.sleep(self.slow_seconds)
            if self.redirect is not None:
                return Response(status_code=302, headers={"Location": self.redirect})
            if request.headers.get("X-Shopify-Access-Token") != TOKEN:
                return Response('{"errors":"[API] Invalid API key"}', 401)
            if self.fails:
                status = self.fails.pop(0)
                headers = {"Retry-After": "2.0"} if status == 429 else {}
                return Response('{"errors":"no"}', status, headers=headers)
            answer: Response = await go_on(request)
            answer.headers["X-Shopify-Shop-Api-Call-Limit"] = f"{self.calls_used}/40"
            return answer

        @app.get("/admin/oauth/access_scopes.json")
        async def scopes() -> Any:
            return {"access_scopes": [{"handle": each} for each in sorted(self.scopes)]}

        @app.get(base + "/{subject}/count.json")
        async def count(subject: str, request: Request) -> Any:
            return {"count": len(self._listed(subject, dict(request.query_params)))}

        @app.get(base + "/{subject}.json")
        async def page(subject: str, request: Request) -> Response:
            if subject in self.forbidden:
                return Response('{"errors":"needs approval"}', 403)
            return self._page(subject, dict(request.query_params), str(request.base_url))

        @app.post(base + "/graphql.json")
        async def graphql(request: Request) -> Any:
            return self._graphql(await request.json())

        _ = (troubles, scopes, count, page, graphql)
        return app

    def _listed(self, subject: str, query: dict[str, str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = getattr(self, subject)
        if since := query.get("updated_at_min"):
            found = [each for each in found if instant(each["updated_at"]) >= instant(since)]
        if until := query.get("updated_at_max"):
            found = [each for each in found if instant(each["updated_at"]) <= instant(until)]
        if "read_all_orders" not in self.scopes and subject == "orders":
            edge = dt.datetime.now(dt.UTC) - dt.timedelta(days=60)
            found = [each for each in found if instant(each["created_at"]) >= edge]
        if query.get("order") == "updated_at asc":
            return sorted(found, key=lambda each: (instant(each["updated_at"]), str(each["id"])))
        return list(reversed(found))

    def _page(self, subject: str, query: dict[str, str], base: str) -> Response:
        """``page_info`` comes with ``limit`` alone, and names the last one seen, not a number."""
        after = None
        limit = int(query.get("limit", "50"))
        if place := query.get("page_info"):
            if self.forgets_places or set(query) - {"limit", "page_info"}:
                self.forgets_places = False
                return Response('{"errors":{"page_info":"Invalid value."}}', 400)
            query = json.loads(bytes.fromhex(place))
            after = query.pop("after")
        listed = self._listed(subject, query)
        keys = [f"{each['updated_at']} {each.get('id') or each['token']}" for each in listed]
        start = 0
        if after is not None:
            ordered = query.get("order") == "updated_at asc"
            start = (
                next((i for i, key in enumerate(keys) if key > after), len(keys))
                if ordered
                else (keys.index(after) + 1 if after in keys else len(keys))
            )
        shown = listed[start : start + limit]
        headers: dict[str, str] = {}
        if start + limit < len(listed):
            place = json.dumps({**query, "after": keys[start + limit - 1]}).encode().hex()
            url = f"{base}admin/api/{VERSION}/{subject}.json?limit={limit}&page_info={place}"
            headers["Link"] = f'<{url}>; rel="next"'
        return Response(
            json.dumps({subject: shown}), media_type="application/json", headers=headers
        )

    def _graphql(self, asked: dict[str, Any]) -> Any:
        status = {"maximumAvailable": 2000.0, "currentlyAvailable": 4.0, "restoreRate": 100.0}
        extensions = {"cost": {"requestedQueryCost": 204, "throttleStatus": status}}
        if self.throttled:
            self.throttled -= 1
            error = {"message": "Throttled", "extensions": {"code": "THROTTLED"}}
            return {"errors": [error], "extensions": extensions}
        if "mutation" not in asked["query"]:
            customer = self._customer(asked["variables"]["id"])
            return {"data": {"customer": _shown(customer)}, "extensions": extensions}
        wanted = asked["variables"]["input"]
        customer = self._customer(wanted["customerId"])
        if customer is None:
            errors = [{"message": "Customer not found", "field": ["input", "customerId"]}]
            return {"data": {"customerEmailMarketingConsentUpdate": {"userErrors": errors}}}
        consent = wanted["emailMarketingConsent"]
        customer["email_marketing_consent"] = {
            "state": consent["marketingState"].lower(),
            "opt_in_level": "single_opt_in",
            "consent_updated_at": consent["consentUpdatedAt"],
        }
        self.consents.append(wanted)
        return {"data": {"customerEmailMarketingConsentUpdate": {"userErrors": []}}}

    def _customer(self, gid: str) -> dict[str, Any] | None:
        number = gid.rpartition("/")[2]
        return next((each for each in self.customers if str(each["id"]) == number), None)

    def consent_webhook(self, number: int) -> dict[str, Any]:
        """What Shopify sends as ``customers_email_marketing_consent/update`` afterwards."""
        customer = self._customer(f"/{number}")
        assert customer is not None
        return {
            "customer_id": number,
            "email_address": customer["email"],
            "email_marketing_consent": customer["email_marketing_consent"],
        }


def _shown(customer: dict[str, Any] | None) -> dict[str, Any] | None:
    if customer is None:
        return None
    consent: dict[str, Any] = customer.get("email_marketing_consent") or {}
    return {
        "id": f"gid://shopify/Customer/{customer['id']}",
        "defaultEmailAddress": {
            "marketingState": (consent.get("state") or "not_subscribed").upper(),
            "marketingUpdatedAt": consent.get("consent_updated_at"),
        },
    }
