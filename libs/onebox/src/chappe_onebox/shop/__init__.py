"""A sample shop that knows of us only what any shop knows: an address, a secret, and HTTP."""

from chappe_onebox.shop.shop import Answer, Cart, Shop

__all__ = ["Answer", "Cart", "Shop"]
