"""The kinds of sources we understand, each a pure function from a delivery to its facts."""

from typing import Final

from chappe_ingest.domain.normalised import Normaliser
from chappe_ingest.domain.sources import api, segment, shopify

SHOPIFY: Final = "shopify"
SEGMENT: Final = "segment"
API: Final = "api"

KINDS: Final = (SHOPIFY, SEGMENT)
"""What ``sources add`` takes."""

NORMALISERS: Final[dict[str, Normaliser]] = {
    SHOPIFY: shopify.normalise,
    SEGMENT: segment.normalise,
    API: api.normalise,
}

__all__ = ["API", "KINDS", "NORMALISERS", "SEGMENT", "SHOPIFY"]
