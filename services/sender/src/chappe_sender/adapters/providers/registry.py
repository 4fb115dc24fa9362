"""From a provider's record to what speaks to it.

Addresses come from the table, never from people.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from chappe_sender.adapters.providers.base import Account, Adapter
from chappe_sender.adapters.providers.brevo import Brevo
from chappe_sender.adapters.providers.mailgun import Mailgun
from chappe_sender.adapters.providers.mailjet import Mailjet
from chappe_sender.adapters.providers.postmark import Postmark
from chappe_sender.adapters.providers.resend import Resend
from chappe_sender.adapters.providers.sendgrid import SendGrid
from chappe_sender.adapters.providers.ses import Ses
from chappe_sender.adapters.providers.sparkpost import SparkPost
from chappe_sender.domain.providers import CAPABILITIES, Kind

Make: TypeAlias = Callable[[Account], Adapter]

_ADAPTERS: Final[Mapping[Kind, Make]] = MappingProxyType(
    {
        Kind.SES: Ses,
        Kind.SENDGRID: SendGrid,
        Kind.MAILGUN: Mailgun,
        Kind.POSTMARK: Postmark,
        Kind.MAILJET: Mailjet,
        Kind.BREVO: Brevo,
        Kind.RESEND: Resend,
        Kind.SPARKPOST: SparkPost,
    }
)
HTTP_KINDS: Final = tuple(_ADAPTERS)


def account_of(
    kind: Kind,
    secrets: Mapping[str, str],
    options: Mapping[str, str],
    base_url: str | None = None,
) -> Account:
    """``base_url`` stands for the table's in tests against a fake."""
    regions = CAPABILITIES[kind].regions
    url = base_url or regions[options.get("region") or next(iter(regions))]
    return Account(kind, url, secrets, options)


def adapter_of(account: Account) -> Adapter:
    return _ADAPTERS[account.kind](account)
