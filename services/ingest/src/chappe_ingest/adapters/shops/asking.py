"""One question to a shop, and what its answer means for whoever asked."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec

from chappe.http import Outbound, OutboundAnswer, OutboundRefused, OutboundUnreachable
from chappe_ingest.application.pulling_ports import (
    CursorGone,
    ShopBusy,
    ShopForbids,
    ShopRefuses,
)

ANSWER_BYTES_MAX: Final = 32 * 1024 * 1024
ANSWER_SECONDS_MAX: Final = 30.0
REST_SECONDS_MAX: Final = 3_600.0
_OK: Final = range(200, 300)
_NO_LIST: Final = frozenset({404, 406, 410})
_REDIRECT: Final = range(300, 400)
_BUSY: Final = frozenset({408, 423, 425, 429, 430})
"""430 is Shopify's word for too many requests of a suspicious kind."""

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Asker:
    """``address``: scheme and host; every question stays below it."""

    outbound: Outbound
    address: str

    @property
    def host(self) -> str:
        return urlsplit(self.address).hostname or ""

    async def get(
        self,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        *,
        in_list: bool = False,
        optional: bool = False,
    ) -> OutboundAnswer:
        """A good answer. ``in_list``: the query holds a place in a list, which may be gone.
        ``optional``: a shop that has no such list is a shop all the same.

        Raises ``ShopError``.
        """
        asked = f"{path}?{urlencode(query)}" if query else path
        answer = await self._ask("GET", asked, headers, None)
        if in_list and answer.status == 400:  # noqa: PLR2004 - bad request
            raise CursorGone("the place in the list is gone")
        if optional and answer.status in _NO_LIST:
            raise ShopForbids(f"{self.host} has no list of these ({answer.status})")
        return self._good(answer)

    async def post(self, path: str, headers: Mapping[str, str], content: bytes) -> OutboundAnswer:
        """Raises ``ShopError``."""
        said = {"Content-Type": "application/json", **headers}
        return self._good(await self._ask("POST", path, said, content))

    async def _ask(
        self, method: str, path: str, headers: Mapping[str, str], content: bytes | None
    ) -> OutboundAnswer:
        try:
            return await self.outbound.request(
                method,
                f"{self.address}{path}",
                headers={"Accept": "application/json", "User-Agent": "Chappe", **headers},
                content=content,
                limit_bytes=ANSWER_BYTES_MAX,
                timeout_seconds=ANSWER_SECONDS_MAX,
            )
        except OutboundRefused as error:
            raise ShopRefuses(f"the shop is not asked: {error}") from error
        except OutboundUnreachable as error:
            raise ShopBusy(f"the shop does not answer: {error}") from error

    def _good(self, answer: OutboundAnswer) -> OutboundAnswer:
        status = answer.status
        if status in _OK and not answer.truncated:
            return answer
        if status in _OK:
            raise ShopRefuses(f"{self.host} answers with more than {ANSWER_BYTES_MAX} bytes")
        if status in _BUSY or status >= 500:  # noqa: PLR2004 - the server's own fault
            raise ShopBusy(f"{self.host} answers {status}", _retry_after(answer))
        if status in _REDIRECT:
            raise ShopRefuses(
                f"{self.host} sends us elsewhere ({status}): name the host that answers itself "
                "with chappe sources domains"
            )
        match status:
            case 401:
                raise ShopRefuses(f"{self.host} refuses the API token (401)")
            case 403:
                raise ShopForbids(f"{self.host} does not let this API token read it (403)")
            case 404:
                raise ShopRefuses(f"{self.host} has no such API (404)")
            case _:
                raise ShopRefuses(f"{self.host} answers {status}")


def read(answer: OutboundAnswer, decoder: "msgspec.json.Decoder[_Answer]") -> _Answer:
    """Raises ``ShopRefuses``: a page of HTML, say, where a login is asked for."""
    try:
        return decoder.decode(answer.body)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise ShopRefuses("the shop's answer is not what its API gives") from error


def _retry_after(answer: OutboundAnswer) -> dt.timedelta | None:
    """In seconds, as both shops write it."""
    try:
        seconds = float(answer.headers.get("retry-after", ""))
    except ValueError:
        return None
    return dt.timedelta(seconds=min(max(seconds, 0.0), REST_SECONDS_MAX))
