"""References in paths: ``external_id:shop/7`` is one segment."""

from urllib.parse import quote


def path_part(text: str) -> str:
    """Safe as one segment of a path."""
    return quote(text, safe=":@")
