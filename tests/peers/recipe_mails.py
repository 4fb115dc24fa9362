"""Every mail of the ready journeys, and our own ones, as the sender writes and signs them."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec
from typing_extensions import override

from chappe.events import Snapshot
from chappe.ids import DEFAULT_WORKSPACE, ContactId, MessageId, StepId, derived, random_id
from chappe.tokens import Tokens
from chappe_recipes import recipes
from chappe_sender.adapters.built_in import double_opt_in_template
from chappe_sender.adapters.compiler import publish
from chappe_sender.adapters.renderer import Renderer
from chappe_sender.application.keyring import Keyring
from chappe_sender.application.letter import Letter, Scribe
from chappe_sender.application.ports import Claimed
from chappe_sender.domain import double_opt_in, samples
from chappe_sender.domain.addresses import Address, Mailbox
from chappe_sender.domain.message import Message
from chappe_sender.domain.template import TemplateVersion
from tests.peers.mails import DOMAIN, KEYS

LOCALES: Final = ("en-US", "fr-FR")
SHOP: Final = Mailbox("Shop", Address("hello", DOMAIN))


@dataclass(frozen=True, slots=True)
class Kind:
    """One template in one language."""

    name: str
    version: TemplateVersion
    locale: str

    @override
    def __str__(self) -> str:
        return f"{self.name}-{self.locale}"


def kinds() -> list[Kind]:
    return list(_kinds())


def _kinds() -> Iterator[Kind]:
    for recipe in recipes():
        for name, files in recipe.template_files().items():
            version = publish(name, files)
            yield from (Kind(f"{recipe.name}/{name}", version, locale) for locale in LOCALES)
    yield from (Kind("double-opt-in", double_opt_in_template(), locale) for locale in LOCALES)


def written(kind: Kind, address: str = "zoe@example.com") -> Letter:
    """To somebody who has just left a cart with two things in it."""
    now = dt.datetime.now(dt.UTC)
    step = double_opt_in.NAME if kind.name == double_opt_in.NAME else kind.version.name
    claimed = Claimed(
        message=Message(
            id=MessageId(derived("m_", random_id(""))),
            shard=0,
            workspace=DEFAULT_WORKSPACE,
            contact=ContactId("c_1"),
            journey=kind.name.partition("/")[0],
            step=StepId(step),
            template=kind.version.id,
            message_class=kind.version.message_class,
        ),
        epoch=1,
        address=address,
        locale=kind.locale,
        topic=kind.version.topic,
        attempts=1,
        asked_at=now,
        dated_at=now,
        snapshot=msgspec.json.encode(
            Snapshot(contact=samples.CONTACT, event=samples.EVENT, entry={"key": "chk_1"})
        ),
        coupon="WELCOME-7QK2" if kind.version.coupon is not None else None,
    )
    letter = _scribe().write(claimed, kind.version, samples.BRAND)
    assert isinstance(letter, Letter), letter
    return letter


def _scribe() -> Scribe:
    keys = Keyring()
    keys._keys[DEFAULT_WORKSPACE, DOMAIN] = list(KEYS)
    return Scribe(
        render=Renderer(),
        tokens=Tokens(b"0123456789abcdef0123456789abcdef"),
        public_url="https://mail.shop.example",
        sender=SHOP,
        bounce_domain="bounce.shop.example",
        keys=keys,
    )
