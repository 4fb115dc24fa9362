"""A source: where deliveries come from, how we know them, and whose they are."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from chappe.ids import SourceId, WorkspaceId
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.roles import Role
from chappe_ingest.domain.sources import REGISTRY, SEGMENT

SECRETS_MAX: Final = 2
OLD_SECRET_LIVES: Final = dt.timedelta(hours=24)
"""Shopify goes on signing with the old one for an hour after a rotation."""


class SourceState(StrEnum):
    ACTIVE = "active"
    AWAITING_SECRET = "awaiting_secret"  # noqa: S105 - a state
    PAUSED = "paused"
    DISABLED = "disabled"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Secret:
    """``not_after`` is on the wall clock; None: the current one."""

    value: str
    not_after: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """``namespace`` qualifies the shop's own ids; "" takes them as they are.

    ``role`` says what it may tell of the shop, ``config`` how to read it, ``note`` what an
    operator must know.
    """

    id: SourceId
    workspace: WorkspaceId
    kind: str
    name: str
    namespace: str
    domains: tuple[str, ...] = ()
    public: bool = False
    state: SourceState
    secrets: tuple[Secret, ...] = ()
    role: Role = Role.STORE
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    note: str | None = None
    created_at: dt.datetime

    def live_secrets(self, now: dt.datetime) -> Sequence[str]:
        return [s.value for s in self.secrets if s.not_after is None or now < s.not_after]

    @property
    def current_secret(self) -> str | None:
        return next((s.value for s in self.secrets if s.not_after is None), None)

    @property
    def links(self) -> Links:
        return links_for(self.kind, self.domains)


def links_for(kind: str, domains: Iterable[str]) -> Links:
    """The source's own hosts and its vendor's."""
    known = REGISTRY.get(kind)
    return Links(frozenset(domains), known.vendor_hosts if known is not None else ())


def default_namespace(kind: str, name: str) -> str:
    """A storefront's ids are qualified by its name; a ``/v1`` user id is taken as it is."""
    return "" if kind == SEGMENT else name


def setup_steps(source: Source, url: str) -> list[str]:
    """What to paste where, in order."""
    kind = REGISTRY[source.kind]
    waits = source.state is SourceState.AWAITING_SECRET
    secret = source.current_secret or "the secret"
    said = {"url": url, "name": source.name, "id": source.id, "secret": secret}
    steps = [_filled(step, said) for step in kind.setup]
    if waits and not any("set-secret" in step for step in steps):
        steps.append(f"Then give its secret to Chappe: {set_secret_command(source.name)}")
    return steps


def set_secret_command(name: str) -> str:
    return f"chappe sources set-secret {name} --secret KEY"


def _filled(step: str, said: Mapping[str, str]) -> str:
    for name, value in said.items():
        step = step.replace("{" + name + "}", value)
    return step


WHEN_DISABLED: Final = {
    "shopify": "Shopify tries again for 4 hours, then deletes webhooks made through its API.",
    "woocommerce": "WooCommerce never tries again, and disables the webhook after 6 refusals.",
    "stripe": "Stripe tries again for 3 days, then disables the endpoint and sends you a mail.",
    "bigcommerce": "BigCommerce tries again for 48 hours, then deactivates the webhook.",
    "saleor": "Saleor does not try again after a refusal: what comes meanwhile is lost.",
    "shopware": "Shopware tries 3 times within seconds, and disables the webhook after 10 losses.",
    "adobe": "Adobe tries again for 24 hours, then disables the registration.",
    "segment": "SDKs drop what is refused: it is lost.",
}
"""What the vendor does while a source refuses (their documentation, 2026)."""


def warning_of(kind: str) -> str:
    """Said before a source is disabled."""
    what = WHEN_DISABLED.get(kind, "Most senders give up after some hours: what comes is lost.")
    return f"{what} To keep what comes without using it, pause the source instead."
