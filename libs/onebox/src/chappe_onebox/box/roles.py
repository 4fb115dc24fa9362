"""Find the services that are installed, by the names under ``chappe.services``."""

import inspect
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from importlib.metadata import entry_points
from typing import Any, cast

import asyncpg

from chappe.service import Role
from chappe_onebox.box.failures import CannotStart

GROUP = "chappe.services"


def find_roles(names: Iterable[str] = ()) -> dict[str, Role]:
    """The roles of these names, in their order; all of them when none is named."""
    known = {entry.name: entry for entry in entry_points(group=GROUP)}
    wanted = list(dict.fromkeys(names)) or sorted(known)
    if missing := [name for name in wanted if name not in known]:
        raise CannotStart(
            f"there is no service {missing[0]} here: choose from {', '.join(sorted(known))}"
        )
    return {name: cast("Role", known[name].load()) for name in wanted}


async def migrate_all(pool: asyncpg.Pool, roles: Mapping[str, Role]) -> list[str]:
    """Bring every service's schema up to date; returns the names of what was applied."""
    modules = dict.fromkeys(inspect.unwrap(cast("Any", role)).__module__ for role in roles.values())
    applied: list[str] = []
    for module in modules:
        migrate = cast(
            "Callable[[asyncpg.Pool], Awaitable[list[str]]]", sys.modules[module].migrate
        )
        applied += await migrate(pool)
    return applied
