"""Public keys over the guarded way out."""

from typing import Final

from chappe.http import Outbound, OutboundError
from chappe_ingest.application.key_sets import KeysUnavailable

KEYS_BYTES_MAX: Final = 8 * 1024
"""A JWKS of a handful of keys; two of them must fit into a source's secret."""

FETCH_SECONDS_MAX: Final = 5.0
_OK: Final = 200


class KeyDocuments:
    """``Fetch`` by HTTPS."""

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound

    async def __call__(self, address: str) -> str:
        try:
            answer = await self._outbound.request(
                "GET",
                address,
                headers={"Accept": "*/*", "User-Agent": "Chappe"},
                limit_bytes=KEYS_BYTES_MAX,
                timeout_seconds=FETCH_SECONDS_MAX,
            )
        except OutboundError as error:
            raise KeysUnavailable(f"{address}: {error}") from error
        if answer.status != _OK or answer.truncated:
            what = f"more than {KEYS_BYTES_MAX} bytes" if answer.truncated else answer.status
            raise KeysUnavailable(f"{address} answers {what}")
        try:
            return answer.body.decode("ascii")
        except UnicodeDecodeError:
            raise KeysUnavailable(f"{address} holds no text") from None
