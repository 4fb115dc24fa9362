"""``POST /api/v1/demo/shop``: the page's buttons, pressed in the sample shop.

The shop answers with what it posted and what came back; that is all it knows.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Literal

from fastapi import APIRouter, Depends, FastAPI
from pydantic import BaseModel, ConfigDict, Field

from chappe.http import Problem, require_token
from chappe_onebox.shop import Answer, Cart, Shop

PATH = "/api/v1/demo/shop"
CARTS_MAX = 1_000
EMAIL = r"^[^\s@<>,;]{1,64}@[^\s@<>,;]{1,180}\.[^\s@<>,;]{2,20}$"


class Press(BaseModel):
    """One press of a button by somebody in the shop."""

    model_config = ConfigDict(extra="forbid")

    do: Literal["sign_up", "fill_cart", "buy"]
    email: str = Field(pattern=EMAIL)
    first_name: str = Field("", max_length=60)
    consent: bool = True


class Counter:
    """The shop's counter: it remembers the last cart of each customer."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._carts: OrderedDict[str, Cart] = OrderedDict()

    async def press(self, wanted: Press) -> tuple[Answer, Cart | None]:
        match wanted.do:
            case "sign_up":
                name = wanted.first_name or wanted.email.partition("@")[0].split(".")[0].title()
                answer = await self._shop.sign_up(
                    wanted.email, first_name=name, consent=wanted.consent
                )
                return answer, None
            case "fill_cart":
                cart, answer = await self._shop.fill_cart(wanted.email, consent=wanted.consent)
                self._remember(wanted.email, cart)
                return answer, cart
            case "buy":
                cart = self._carts.pop(wanted.email, None)
                if cart is None:  # straight to the till
                    cart, _ = await self._shop.fill_cart(wanted.email, consent=wanted.consent)
                return await self._shop.buy(cart, consent=wanted.consent), cart

    def _remember(self, email: str, cart: Cart) -> None:
        self._carts[email] = cart
        self._carts.move_to_end(email)
        if len(self._carts) > CARTS_MAX:
            self._carts.popitem(last=False)


def add_shop(app: FastAPI, counter: Callable[[], Counter | None], token: str) -> None:
    router = APIRouter(dependencies=[Depends(require_token(token))], tags=["demo"])

    @router.post(PATH)
    async def press(wanted: Press) -> dict[str, Any]:
        """Press a button in the shop."""
        at = counter()
        if at is None:
            raise Problem(503, "the shop is still opening: try again in a moment")
        answer, cart = await at.press(wanted)
        return {
            "topic": answer.topic,
            "status": answer.status,
            "cart": None
            if cart is None
            else {
                "token": cart.token,
                "total": str(cart.total),
                "items": [item.title for item in cart.items],
            },
        }

    app.include_router(router)
    _ = press
