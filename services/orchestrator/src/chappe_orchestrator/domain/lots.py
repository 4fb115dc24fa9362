"""Chance that is no chance: the same contact always draws the same lot."""

import hashlib

_WHOLE = 1 << 64


def lot(*parts: str) -> float:
    """A number from 0 up to, not including, 1; the same for the same parts, spread evenly."""
    text = "\x1f".join(parts).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") / _WHOLE


def drawn(weights: list[float], at: float) -> int:
    """Which of the shares holds ``at``, a number from 0 up to 1."""
    left = at * sum(weights)
    for index, weight in enumerate(weights):
        left -= weight
        if left < 0:
            return index
    return len(weights) - 1
