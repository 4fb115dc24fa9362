"""The kinds of sources we understand, each a pure function from a delivery to its facts."""

from collections.abc import Sequence
from typing import Final

from chappe_ingest.domain.kind import Kind, kind_of
from chappe_ingest.domain.sources import (
    adobe,
    api,
    bigcommerce,
    cloudevents,
    generic,
    saleor,
    segment,
    shopify,
    shopware,
    stripe,
    woocommerce,
)

SHOPIFY: Final = "shopify"
SEGMENT: Final = "segment"
API: Final = "api"

STANDARD_WEBHOOKS: Final = frozenset({"cloudevents", "generic"})
"""Kinds that are signed so; their libraries want the secret as ``whsec_…``."""


def _registered() -> Sequence[Kind]:
    """Every kind, in the order in which help texts name them."""
    return (
        kind_of(SHOPIFY, shopify),
        kind_of("woocommerce", woocommerce),
        kind_of("stripe", stripe),
        kind_of("bigcommerce", bigcommerce),
        kind_of("saleor", saleor),
        kind_of("shopware", shopware),
        kind_of("adobe", adobe),
        Kind(
            name=SEGMENT,
            normalise=segment.normalise,
            verify=segment.verify,
            entity=segment.entity,
            headers=frozenset(),
            we_issue=True,
            setup=(
                "Point your Segment or RudderStack SDK at this host: {url}",
                "Use the secret as the write key.",
                "Send identify with an e-mail address, then track 'Signed Up'.",
                "Look at: chappe sources status {name}",
            ),
            at_door=False,
        ),
        kind_of("cloudevents", cloudevents),
        kind_of("generic", generic),
    )


REGISTRY: Final[dict[str, Kind]] = {kind.name: kind for kind in _registered()}

KINDS: Final = tuple(REGISTRY)
"""What ``sources add`` takes."""

OWN: Final = api.normalise
"""What ``POST /api/v1/events`` keeps."""

__all__ = ["API", "KINDS", "OWN", "REGISTRY", "SEGMENT", "SHOPIFY", "STANDARD_WEBHOOKS"]
