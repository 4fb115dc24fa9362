"""Take an array of CloudEvents apart, each event with the bytes it came in."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from chappe_ingest.domain.reading import Unreadable
from chappe_ingest.domain.verify import Headers, first

BATCH_MAX: Final = 2_500
BATCH_TYPE: Final = "application/cloudevents-batch+json"

_rows = msgspec.json.Decoder(list[msgspec.Raw])


def split(body: bytes, headers: Headers) -> Sequence[tuple[bytes, Mapping[str, str]]]:
    """The events of a batch; anything that is no array is one delivery, as it is.

    Raises ``Unreadable`` on a broken array and on more than ``BATCH_MAX`` events.
    """
    told = (first(headers, "content-type") or "").partition(";")[0].strip().lower() == BATCH_TYPE
    if not told and not body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        return [(body, {})]
    try:
        rows = _rows.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.MsgspecError, RecursionError, ValueError):
        raise Unreadable("the batch is no JSON array") from None
    if len(rows) > BATCH_MAX:
        raise Unreadable(f"the batch has more than {BATCH_MAX} events")
    return [(bytes(row), {}) for row in rows]
