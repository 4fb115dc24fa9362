"""A source: where deliveries come from, how we know them, and whose they are."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from chappe.ids import SourceId, WorkspaceId
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.sources import SEGMENT, SHOPIFY

SECRETS_MAX: Final = 2
OLD_SECRET_LIVES: Final = dt.timedelta(hours=24)
"""Shopify goes on signing with the old one for an hour after a rotation."""


class SourceState(StrEnum):
    ACTIVE = "active"
    AWAITING_SECRET = "awaiting_secret"  # noqa: S105 - a state
    PAUSED = "paused"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Secret:
    """``not_after`` is on the wall clock; None: the current one."""

    value: str
    not_after: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """``namespace`` qualifies the shop's own ids; "" takes them as they are."""

    id: SourceId
    workspace: WorkspaceId
    kind: str
    name: str
    namespace: str
    domains: tuple[str, ...] = ()
    public: bool = False
    state: SourceState
    secrets: tuple[Secret, ...] = ()
    created_at: dt.datetime

    def live_secrets(self, now: dt.datetime) -> Sequence[str]:
        return [s.value for s in self.secrets if s.not_after is None or now < s.not_after]

    @property
    def current_secret(self) -> str | None:
        return next((s.value for s in self.secrets if s.not_after is None), None)

    @property
    def links(self) -> Links:
        return Links(frozenset(self.domains))


WE_ISSUE: Final = frozenset({SEGMENT})
"""Kinds whose secret is ours to make; for the others the vendor shows it."""


def default_namespace(kind: str, name: str) -> str:
    """A storefront's ids are qualified by its name; a ``/v1`` user id is taken as it is."""
    return "" if kind == SEGMENT else name


def setup_steps(source: Source, url: str) -> list[str]:
    """What to paste where, in order."""
    if source.kind == SHOPIFY:
        steps = [
            "In Shopify open Settings > Notifications > Webhooks.",
            f"Create a webhook, format JSON, with this URL: {url}",
            f"Do so for each of: {', '.join(SHOPIFY_TOPICS)}.",
        ]
        if source.state is SourceState.AWAITING_SECRET:
            steps += [
                "Copy the key under 'Your webhooks will be signed with'.",
                f"Give it to Chappe: chappe sources set-secret {source.name} --secret KEY",
            ]
        return [*steps, "Press 'Send test notification', then look at: chappe sources status"]
    return [
        f"Point your Segment or RudderStack SDK at this host: {url}",
        "Use the secret as the write key.",
        "Send identify with an e-mail address, then track 'Signed Up'.",
        "Look at: chappe sources status",
    ]


SHOPIFY_TOPICS: Final = (
    "Checkout creation",
    "Checkout update",
    "Order creation",
    "Order update",
    "Customer creation",
    "Customer update",
    "Customer email marketing consent update",
)
