"""Notes that we put among a kept delivery's headers; no sender's header has these names."""

from typing import Final

PAUSED: Final = "paused"
"""It came for a paused source: kept, not resolved."""

REPLAY: Final = "replay"
"""It was sent through the resolver again, under this name; no repeat of the first time."""

HISTORICAL: Final = "historical"
"""Its events happened long ago, whatever their times say: kept, without effects."""

CHECK: Final = "check"
"""Nobody could tell whether it is genuine, the database was away: the resolver looks again."""

PULLED: Final = "pulled"
"""It was fetched from the shop: a state that was told already is no news."""

DOCUMENT: Final = "document"
"""What its shop's API said about it, as JSON text: it is read with that."""

WITHOUT: Final = "without document"
"""Why its shop's API said nothing: it is read with what it says itself."""
