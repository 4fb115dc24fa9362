"""What an API token is for each kind of source, and which of its halves is what."""

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class TokenShape:
    """``example`` is what to paste, in the vendor's own words."""

    example: str
    pattern: re.Pattern[str]


SHAPES: Final = {
    "shopify": TokenShape("the Admin API access token, shpat_…", re.compile(r"[!-~]{1,500}")),
    "woocommerce": TokenShape(
        "consumer key and secret with a colon between, ck_…:cs_…",
        re.compile(r"ck_[0-9A-Za-z]{1,100}:cs_[0-9A-Za-z]{1,100}"),
    ),
    "stripe": TokenShape(
        "a restricted key that may read Checkout Sessions and Customers, rk_live_…",
        re.compile(r"[rs]k_(?:live|test)_[0-9A-Za-z]{1,500}"),
    ),
    "bigcommerce": TokenShape(
        "store hash and access token with a colon between, STORE_HASH:ACCESS_TOKEN",
        re.compile(r"[0-9A-Za-z]{1,40}:[0-9A-Za-z]{1,200}"),
    ),
    "shopware": TokenShape(
        "an integration's access key and secret with a colon between, SWIA…:SECRET",
        re.compile(r"[0-9A-Za-z_-]{1,100}:[!-~]{1,300}"),
    ),
}
"""Kinds whose shops are asked. Other kinds need no token, and take any."""


def wrong_token(kind: str, token: str) -> str | None:
    """Why ``token`` cannot be one of ``kind``, in words that do not repeat it; None: it can."""
    shape = SHAPES.get(kind)
    if shape is None or shape.pattern.fullmatch(token):
        return None
    return f"the API token of a {kind} source is {shape.example}"


def halves(token: str) -> tuple[str, str]:
    """What stands before the first colon, and what behind it."""
    first, _, second = token.partition(":")
    return first, second
