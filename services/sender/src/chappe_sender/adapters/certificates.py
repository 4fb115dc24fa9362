"""Amazon's signing certificates and its subscriptions, asked over the guarded way out."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from chappe.clock import monotonic
from chappe.http import OutboundAnswer, OutboundError
from chappe_sender.application.feedback_ports import NotNow

KEPT_SECONDS: Final = 86_400.0
CERTIFICATES_MAX: Final = 32
CERTIFICATE_BYTES_MAX: Final = 16_384
ANSWER_SECONDS_MAX: Final = 5.0
REFUSED_SECONDS: Final = 30.0
"""After a failure the same address is not asked again for so long."""

OK: Final = 200

Get: TypeAlias = Callable[[str], Awaitable[OutboundAnswer]]
"""One GET, bounded in time and size. Raises ``OutboundError``."""


class FetchedCertificates:
    """Implements ``Certificates``. The URLs were checked to be Amazon's before they come here."""

    def __init__(self, get: Get) -> None:
        self._get = get
        self._known: OrderedDict[str, tuple[float, str | None]] = OrderedDict()

    async def pem(self, url: str) -> str:
        known = self._known.get(url)
        if known is not None and monotonic() < known[0]:
            if known[1] is None:
                raise NotNow("Amazon's signing certificate could not be fetched")
            return known[1]
        try:
            answer = await self._get(url)
        except OutboundError as error:
            self._keep(url, None, REFUSED_SECONDS)
            raise NotNow(str(error)) from error
        if answer.status != OK or b"BEGIN CERTIFICATE" not in answer.body:
            self._keep(url, None, REFUSED_SECONDS)
            raise NotNow(f"Amazon's signing certificate: the answer was {answer.status}")
        pem = answer.body.decode("ascii", "replace")
        self._keep(url, pem, KEPT_SECONDS)
        return pem

    async def confirm(self, url: str) -> None:
        try:
            answer = await self._get(url)
        except OutboundError as error:
            raise NotNow(str(error)) from error
        if answer.status != OK:
            raise NotNow(f"the subscription was not confirmed: the answer was {answer.status}")

    def _keep(self, url: str, pem: str | None, seconds: float) -> None:
        self._known[url] = (monotonic() + seconds, pem)
        self._known.move_to_end(url)
        if len(self._known) > CERTIFICATES_MAX:
            self._known.popitem(last=False)
