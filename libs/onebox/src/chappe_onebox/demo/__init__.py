"""The demo: a page, a clock that can be moved, a shop, and nothing a customer would not have."""
