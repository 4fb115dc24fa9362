"""The spool's ``set-aside`` directory: ``NAME.record`` as in the spool, ``NAME.why`` beside it."""

import datetime as dt
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from chappe.clock import UTC
from chappe_ingest.adapters.spool import read_records
from chappe_ingest.application.set_aside import SetAside

SHOWN_MAX: Final = 500
WHY_MAX_CHARS: Final = 500
_ID: Final = re.compile(r"raw_[A-Za-z0-9_-]{1,64}")


class SetAsideFiles:
    """Implements ``Shelf``. ``directory`` need not exist."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def all(self) -> Sequence[SetAside]:
        if not self._directory.is_dir():
            return ()
        names = [path.stem for path in self._directory.glob("*.record")]
        found = [each for name in names[: SHOWN_MAX * 4] if (each := self.one(name)) is not None]
        return sorted(found, key=lambda each: (each.at, each.id), reverse=True)[:SHOWN_MAX]

    def one(self, id_: str) -> SetAside | None:
        if _ID.fullmatch(id_) is None:
            return None
        path = self._directory / f"{id_}.record"
        try:
            record = next(read_records(path), None)
            why = path.with_suffix(".why").read_text("utf-8", "replace")
        except OSError:
            return None
        if record is None:
            return None
        at = dt.datetime.fromtimestamp(record.at, UTC)
        return SetAside(id_, at, why[:WHY_MAX_CHARS], record)

    def discard_before(self, then: dt.datetime) -> int:
        """By the files' own times; a file that goes meanwhile is no error."""
        gone = 0
        for path in tuple(self._directory.glob("*.record")) if self._directory.is_dir() else ():
            try:
                if path.stat().st_mtime >= then.timestamp():
                    continue
            except FileNotFoundError:
                continue
            self.discard(path.stem)
            gone += 1
        return gone

    def discard(self, id_: str) -> None:
        if _ID.fullmatch(id_) is None:
            return
        for ending in ("record", "why"):
            (self._directory / f"{id_}.{ending}").unlink(missing_ok=True)
