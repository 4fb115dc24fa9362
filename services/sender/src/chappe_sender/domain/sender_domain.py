"""A domain that mail is from: its keys, and how they come and go."""

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from chappe.ids import NewId, WorkspaceId
from chappe_sender.domain.dkim import Key, load

RSA_BITS: Final = 2048
RETIRED_FOR: Final = dt.timedelta(days=7)
"""How long a retired key's record stays published: mail signed with it is still under way."""

FREEMAIL: Final = frozenset(
    {
        "aol.com", "free.fr", "gmail.com", "gmx.at", "gmx.com", "gmx.de", "gmx.net",
        "googlemail.com", "hotmail.co.uk", "hotmail.com", "hotmail.de", "hotmail.fr",
        "icloud.com", "laposte.net", "libero.it", "live.com", "live.fr", "mac.com", "mail.com",
        "mail.ru", "me.com", "msn.com", "orange.fr", "outlook.com", "outlook.fr", "proton.me",
        "protonmail.com", "qq.com", "sfr.fr", "t-online.de", "wanadoo.fr", "web.de",
        "yahoo.co.jp", "yahoo.co.uk", "yahoo.com", "yahoo.de", "yahoo.fr", "yandex.ru", "ymail.com",
        "zoho.com",
    }
)  # fmt: skip
"""Everybody's domains: mail from them by anybody else's servers fails DMARC."""

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class KeyState(StrEnum):
    """``waiting`` until its record is seen in DNS; ``retired`` signs nothing more."""

    WAITING = "waiting"
    ACTIVE = "active"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class DomainKey:
    """A key as it is kept. ``repr`` never shows the private half."""

    selector: str
    algorithm: str
    pem: str = field(repr=False)
    record: str
    state: KeyState
    created_at: dt.datetime
    changed_at: dt.datetime

    def record_name(self, domain: str) -> str:
        return f"{self.selector}._domainkey.{domain}"


@dataclass(frozen=True, slots=True)
class SenderDomain:
    """``blocked`` says why marketing from it waits."""

    workspace: WorkspaceId
    name: str
    created_at: dt.datetime
    keys: tuple[DomainKey, ...] = ()
    checked_at: dt.datetime | None = None
    mismatches: int = 0
    blocked: str | None = None

    def signing_keys(self) -> list[Key]:
        """RSA first, which every receiver knows."""
        active = [key for key in self.keys if key.state is KeyState.ACTIVE]
        active.sort(key=lambda key: (not key.algorithm.startswith("rsa"), key.selector))
        return [load(self.name, key.selector, key.pem.encode()) for key in active]


def parse_domain(text: str) -> str | None:
    """A domain's name in its ASCII form, of two labels or more; None for anything else."""
    try:
        name = text.strip().rstrip(".").lower().encode("idna").decode("ascii").lower()
    except UnicodeError:
        return None
    labels = name.split(".")
    fits = len(labels) > 1 and not labels[-1].isdigit()
    return name if fits and all(_LABEL.fullmatch(label) for label in labels) else None


def new_keys(
    domain: str, *, ed25519_too: bool, state: KeyState, new_id: NewId, now: dt.datetime
) -> list[DomainKey]:
    """A fresh RSA key, and an Ed25519 one beside it if wished. Takes a tenth of a second."""
    made: list[rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey] = [
        rsa.generate_private_key(public_exponent=65_537, key_size=RSA_BITS)
    ]
    if ed25519_too:
        made.append(ed25519.Ed25519PrivateKey.generate())
    tail = new_id("")[-8:].lower()
    keys: list[DomainKey] = []
    for private, letter in zip(made, "re", strict=False):
        pem = private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        key = load(domain, f"ch{letter}-{tail}", pem)
        keys.append(
            DomainKey(key.selector, key.algorithm, pem.decode(), key.record, state, now, now)
        )
    return keys


def signing_domains(from_domain: str, preferred: str = "") -> Sequence[str]:
    """The domains that may sign for a From (DMARC, relaxed), the first choice first."""
    labels = from_domain.split(".")
    above = [".".join(labels[at:]) for at in range(len(labels) - 1)]
    below = preferred.endswith(f".{from_domain}")
    return [preferred, *above] if preferred and (preferred in above or below) else above
