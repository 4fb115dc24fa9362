"""Which tokens and ids an event can carry, so that a key nobody supplies is noticed early."""

from collections.abc import Mapping

_TOKENS: Mapping[str, tuple[str, ...]] = {
    "checkout_token": ("checkout.", "order.", "cart."),
    "cart_token": ("cart.", "checkout.", "order."),
    "cart_id": ("cart.", "checkout.", "order."),
    "checkout_id": ("checkout.", "order."),
    "order_id": ("order.", "subscription."),
    "order_number": ("order.",),
    "number": ("order.",),
    "subscription_id": ("subscription.", "order."),
    "message": ("email.",),
    "message_id": ("email.",),
    "segment": ("segment.",),
}
"""By field: the families of events that have it. What is not here, any event may have."""

_OPEN = ("custom.", "journey.", "webhook.")


def supplies(event: str, path: str) -> bool:
    """False only when no event called ``event`` can have a value at ``path``."""
    root, _, rest = path.partition(".")
    if root != "event" or event.startswith(_OPEN):
        return True
    families = _TOKENS.get(rest.partition(".")[0])
    return families is None or event.startswith(families)
