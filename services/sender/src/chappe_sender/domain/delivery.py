"""Whether mail leaves: live, only to some, or kept instead."""

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum

ENTRIES_MAX = 1_000


class Mode(StrEnum):
    """``allowlist``: what goes to others is captured."""

    LIVE = "live"
    ALLOWLIST = "allowlist"
    CAPTURE = "capture"


@dataclass(frozen=True, slots=True)
class AllowList:
    """Addresses and domains, in lower case. A domain allows those below it too."""

    entries: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str) -> "AllowList":
        """``ann@shop.example, shop.example``; blanks and commas part."""
        words = text.lower().replace(",", " ").split()[:ENTRIES_MAX]
        return cls(frozenset(word.removeprefix("@") for word in words))

    def allows(self, address: str) -> bool:
        key = address.strip().lower()
        labels = key.rpartition("@")[2].split(".")
        domains = {".".join(labels[at:]) for at in range(len(labels))}
        return key in self.entries or not domains.isdisjoint(self.entries)


@dataclass(frozen=True, slots=True)
class Override:
    """What was decided beside the settings: the sender's own capture, or somebody's go-live.

    ``at`` is the business clock, ``wall_at`` the wall's.
    """

    mode: Mode
    reason: str | None
    at: dt.datetime
    wall_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings and the override as one. ``started`` is when this process did (wall clock):
    going live against ``CHAPPE_DELIVERY=capture`` lasts until the next start.
    """

    setting: Mode
    started: dt.datetime
    allowed: AllowList = AllowList()
    override: Override | None = None

    @property
    def mode(self) -> Mode:
        made = self.override
        if self.setting is Mode.CAPTURE:
            lifted = made is not None and made.mode is Mode.LIVE and made.wall_at >= self.started
            return Mode.LIVE if lifted else Mode.CAPTURE
        return Mode.CAPTURE if made is not None and made.mode is Mode.CAPTURE else self.setting

    def withholds(self, address: str, asked_at: dt.datetime) -> bool:
        """Going live is for what is asked after it."""
        mode = self.mode
        made = self.override
        if mode is Mode.CAPTURE:
            return True
        if made is not None and made.mode is Mode.LIVE and asked_at <= made.at:
            return True
        return mode is Mode.ALLOWLIST and not self.allowed.allows(address)
