"""What the demo is set up with, through the same API as anyone: sources, brand, recipes."""

import hashlib
from typing import Any, Protocol

import msgspec

from chappe_onebox.client import Api, Folder, Refused, apply
from chappe_recipes import recipes

FILE = "demo.json"
BRAND = {
    "name": "Lanterns & Sons",
    "from": "Lanterns & Sons <hello@lanterns.example>",
    "reply_to": "care@lanterns.example",
    "address": "12 Tower Street, 59000 Lille",
    "url": "https://lanterns-and-sons.myshopify.com",
    "topics": {"offers": {"en": "News and offers", "fr": "Nouvelles et offres"}},
}
SHOP_SOURCE = {"kind": "shopify", "name": "lanterns"}
WEB_SOURCE = {"kind": "segment", "name": "lanterns-web"}
SHOP_SECRET = "lanterns-webhook-secret"  # noqa: S105 - the sample shop's own, in a demo


class Directory(Protocol):
    """Where the demo keeps what it has made."""

    def read(self, name: str) -> dict[str, Any]: ...
    def write(self, name: str, document: dict[str, Any]) -> None: ...


class Source(msgspec.Struct, frozen=True):
    """A source as it was added: where to post, and with which secret."""

    id: str
    url: str
    secret: str


class World(msgspec.Struct, frozen=True):
    """What stands. ``recipes`` is a digest of those published last."""

    shop: Source
    web: Source
    recipes: str = ""


def prepare(api: Api, directory: Directory) -> World:
    """Make what is missing; a restart finds it made and changes nothing."""
    kept = directory.read(FILE)
    if kept:
        world = msgspec.convert(kept, World)
    else:
        world = World(
            _add(api, SHOP_SOURCE | {"secret": SHOP_SECRET}, SHOP_SECRET), _add(api, WEB_SOURCE, "")
        )
        directory.write(FILE, msgspec.to_builtins(world))
    folders = [
        Folder(f"{each.name}/journey.yaml", each.journey, each.template_files())
        for each in recipes()
    ]
    digest = hashlib.sha256(msgspec.json.encode([BRAND, folders])).hexdigest()
    if digest != world.recipes:
        api.put("/api/v1/brand", BRAND)
        apply(api, folders)
        world = msgspec.structs.replace(world, recipes=digest)
        directory.write(FILE, msgspec.to_builtins(world))
    return world


def _add(api: Api, wanted: dict[str, str], secret: str) -> Source:
    try:
        made = api.post("/api/v1/sources", wanted)
    except Refused as refused:
        # A kill between adding and remembering: the name is taken by one whose secret is lost.
        if refused.status != 409:  # noqa: PLR2004 - HTTP's Conflict
            raise
        again = hashlib.sha256(str(refused).encode()).hexdigest()[:6]
        made = api.post("/api/v1/sources", wanted | {"name": f"{wanted['name']}-{again}"})
    return Source(made["id"], made["url"], made.get("secret") or secret)
