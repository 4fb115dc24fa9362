"""One port for every service: a request goes to the app that owns the longest pattern."""

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias

from chappe.http import Problem

App: TypeAlias = Callable[..., Awaitable[None]]

_HOLE = re.compile(r"\\\{[a-z_]+\\\}|\\\*")


class Router:
    """An ASGI app over others. In a pattern ``{name}`` or ``*`` stands for something; a trailing
    ``/*`` is the path itself and everything below it, as a proxy's prefix would be.
    """

    def __init__(self, routes: Iterable[tuple[str, App]]) -> None:
        ordered = sorted(routes, key=lambda route: len(route[0]), reverse=True)
        self._apps = [app for _, app in ordered]
        # The first alternative that matches wins, and they stand longest first.
        self._which = re.compile("|".join(f"({_expression(pattern)})" for pattern, _ in ordered))

    def find(self, path: str) -> App | None:
        match = self._which.fullmatch(path)
        return None if match is None or match.lastindex is None else self._apps[match.lastindex - 1]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        app = self.find(scope["path"])
        if app is None:
            app = Problem(404, f"nothing answers at {scope['path'][:200]}").response()
        await app(scope, receive, send)


def _expression(pattern: str) -> str:
    if pattern.endswith("/*"):
        return f"{_expression(pattern[:-2])}(?:/.*)?"
    if pattern.endswith("*"):
        return f"{_expression(pattern[:-1])}.*"
    return _HOLE.sub(".+", re.escape(pattern))
