"""What an endpoint's webhooks are verified with: its secret and, for a day, the one before it.

A provider's console and ours are never changed at the same instant, and a provider signs its
retries with the key that it had when they began.
"""

import datetime as dt
from typing import Final

import msgspec

OVERLAP: Final = dt.timedelta(hours=24)
"""How long the secret before the last change is taken; as for sources."""

_MARK: Final = "\0"
"""What a stored pair begins with; a secret that was stored alone does not."""


class Keys(msgspec.Struct, frozen=True):
    """``before`` is good until ``until`` (wall clock)."""

    secret: str
    before: str | None = None
    until: dt.datetime | None = None

    def at(self, wall: dt.datetime) -> tuple[str, ...]:
        """Those that are good at that moment, the newest first."""
        if self.before is None or self.until is None or wall >= self.until:
            return (self.secret,)
        return (self.secret, self.before)

    def renewed(self, secret: str, wall: dt.datetime) -> "Keys":
        """With ``secret`` as the newest. Saying the same again changes nothing."""
        return self if secret == self.secret else Keys(secret, self.secret, wall + OVERLAP)


_pack = msgspec.json.Encoder().encode
_unpack = msgspec.json.Decoder(Keys).decode


def write(keys: Keys) -> str:
    return keys.secret if keys.before is None else _MARK + _pack(keys).decode()


def read(text: str) -> Keys:
    return _unpack(text[1:]) if text.startswith(_MARK) else Keys(text)
