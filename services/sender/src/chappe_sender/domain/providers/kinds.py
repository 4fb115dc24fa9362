"""Each kind of way out: what it can do with our mail, and what it must be told to start.

From the vendors' own API references; where two of them disagree, the more careful reading stands.
"""

import datetime as dt
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from chappe_sender.domain.template import MessageClass

MIB: Final = 1024 * 1024
IN_FLIGHT_MAX: Final = 64
RATE_MAX: Final = 10_000.0
VALUE_LETTERS_MAX: Final = 2_000


class Kind(StrEnum):
    """The kinds of provider there are."""

    SMTP = "smtp"
    DIRECT = "direct"
    SES = "ses"
    SENDGRID = "sendgrid"
    MAILGUN = "mailgun"
    POSTMARK = "postmark"
    MAILJET = "mailjet"
    BREVO = "brevo"
    RESEND = "resend"
    SPARKPOST = "sparkpost"


class Switch(StrEnum):
    """How a provider's own open and click tracking is switched off."""

    NONE = "none"
    """It has none."""
    MESSAGE = "message"
    """In every message; we do."""
    ACCOUNT = "account"
    """Only in its own settings: the operator says so, with the option ``tracking=off``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """``key_ttl`` is how long a repeat of a request with the same key is not sent again.

    ``body_max`` is in octets of one request; ``batch_size`` what one request carries unless told
    otherwise, at most ``batch_max``. ``regions`` are names and base addresses, the default first.
    ``own_id`` says where our message id travels, to come back with the provider's webhooks.
    """

    tracking: Switch
    preserves_list_unsubscribe: bool
    keeps_message_id: bool
    own_id: str
    regions: Mapping[str, str] = field(default_factory=dict[str, str])
    raw: bool = False
    batch_max: int = 1
    batch_size: int = 1
    key_ttl: dt.timedelta | None = None
    body_max: int = 10 * MIB
    in_flight: int = 8
    per_second: float | None = None

    @property
    def tracking_can_be_disabled(self) -> bool:
        """In every message, whatever the account's settings are."""
        return self.tracking is not Switch.ACCOUNT


@dataclass(frozen=True, slots=True)
class Form:
    """What has to be told: secrets, needed options, and further options with what they are."""

    secrets: tuple[str, ...]
    needed: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


CAPABILITIES: Final[Mapping[Kind, Capabilities]] = MappingProxyType(
    {
        Kind.SMTP: Capabilities(
            tracking=Switch.NONE,
            preserves_list_unsubscribe=True,
            keeps_message_id=True,
            own_id="header Chappe-Message",
            raw=True,
            in_flight=16,
        ),
        Kind.DIRECT: Capabilities(
            tracking=Switch.NONE,
            preserves_list_unsubscribe=True,
            keeps_message_id=True,
            own_id="header Chappe-Message",
            raw=True,
            in_flight=16,
        ),
        # Opens and clicks are only followed by a configuration set that publishes them; SES writes
        # its own Message-ID.
        Kind.SES: Capabilities(
            tracking=Switch.MESSAGE,
            preserves_list_unsubscribe=True,
            keeps_message_id=False,
            own_id="email tag chappe-message, header Chappe-Message",
            regions={
                name: f"https://email.{name}.amazonaws.com"
                for name in (
                    "us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1",
                    "eu-central-1", "eu-central-2", "eu-north-1", "eu-south-1", "eu-west-1",
                    "eu-west-2", "eu-west-3", "sa-east-1", "af-south-1", "me-south-1",
                    "me-central-1", "il-central-1", "ap-south-1", "ap-southeast-1",
                    "ap-southeast-2", "ap-southeast-3", "ap-northeast-1", "ap-northeast-2",
                    "ap-northeast-3",
                )
            },
            raw=True,
            body_max=40 * MIB,
            in_flight=14,
        ),
        Kind.SENDGRID: Capabilities(
            tracking=Switch.MESSAGE,
            preserves_list_unsubscribe=True,
            keeps_message_id=True,
            own_id="custom_args chappe-message",
            regions={"us": "https://api.sendgrid.com", "eu": "https://api.eu.sendgrid.com"},
            body_max=30 * MIB,
            in_flight=16,
        ),
        Kind.MAILGUN: Capabilities(
            tracking=Switch.MESSAGE,
            preserves_list_unsubscribe=True,
            keeps_message_id=True,
            own_id="v:chappe-message",
            regions={"us": "https://api.mailgun.net", "eu": "https://api.eu.mailgun.net"},
            raw=True,
            body_max=25 * MIB,
        ),
        Kind.POSTMARK: Capabilities(
            tracking=Switch.MESSAGE,
            preserves_list_unsubscribe=True,
            keeps_message_id=True,
            own_id="Metadata chappe-message",
            regions={"": "https://api.postmarkapp.com"},
            batch_max=500,
            batch_size=20,
            body_max=50 * MIB,
            in_flight=4,
        ),
        Kind.MAILJET: Capabilities(
            tracking=Switch.MESSAGE,
            preserves_list_unsubscribe=True,
            keeps_message_id=False,
            own_id="CustomID",
            regions={"eu": "https://api.mailjet.com", "us": "https://api.us.mailjet.com"},
            batch_max=50,
            batch_size=20,
            body_max=15 * MIB,
            in_flight=4,
        ),
        # Documented as 15 minutes in one place and 30 in another.
        Kind.BREVO: Capabilities(
            tracking=Switch.ACCOUNT,
            preserves_list_unsubscribe=True,
            keeps_message_id=False,
            own_id="header X-Mailin-custom",
            regions={"": "https://api.brevo.com"},
            key_ttl=dt.timedelta(minutes=15),
            body_max=20 * MIB,
            in_flight=16,
        ),
        Kind.RESEND: Capabilities(
            tracking=Switch.ACCOUNT,
            preserves_list_unsubscribe=True,
            keeps_message_id=False,
            own_id="tag chappe-message, header Chappe-Message",
            regions={"": "https://api.resend.com"},
            batch_max=100,
            batch_size=100,
            key_ttl=dt.timedelta(hours=24),
            body_max=40 * MIB,
            in_flight=2,
            per_second=2.0,
        ),
        Kind.SPARKPOST: Capabilities(
            tracking=Switch.MESSAGE,
            preserves_list_unsubscribe=True,
            keeps_message_id=True,
            own_id="metadata chappe-message",
            regions={"us": "https://api.sparkpost.com", "eu": "https://api.eu.sparkpost.com"},
            raw=True,
            body_max=20 * MIB,
        ),
    }
)  # fmt: skip

_COMMON: Final = ("in_flight", "rate", "in_doubt_max")
FORMS: Final[Mapping[Kind, Form]] = MappingProxyType(
    {
        Kind.SMTP: Form(("url",), (), ()),
        Kind.DIRECT: Form((), ("ehlo_name",), ("source_ips", "per_day", "ipv6", "in_doubt_max")),
        Kind.SES: Form(
            ("access_key", "secret_key"), ("region",), ("configuration_set", *_COMMON)
        ),
        Kind.SENDGRID: Form(("api_key",), (), ("region", *_COMMON)),
        Kind.MAILGUN: Form(("api_key",), ("domain",), ("region", *_COMMON)),
        Kind.POSTMARK: Form(
            ("server_token",), (), ("stream", "marketing_stream", "batch", *_COMMON)
        ),
        Kind.MAILJET: Form(("api_key", "secret_key"), (), ("region", "batch", *_COMMON)),
        Kind.BREVO: Form(("api_key",), (), ("tracking", *_COMMON)),
        Kind.RESEND: Form(("api_key",), (), ("tracking", "batch", *_COMMON)),
        Kind.SPARKPOST: Form(("api_key",), (), ("region", "ip_pool", *_COMMON)),
    }
)  # fmt: skip


def may_send(kind: Kind, message_class: MessageClass, options: Mapping[str, str]) -> str | None:
    """None, or why this class must not go this way: our links and our way to leave must stay."""
    able = CAPABILITIES[kind]
    if message_class is not MessageClass.MARKETING:
        return None
    if not able.preserves_list_unsubscribe:
        return f"{kind} does not keep our List-Unsubscribe"
    if not able.tracking_can_be_disabled and options.get("tracking") != "off":
        return (
            f"{kind} can switch its own tracking off only in its settings: switch it off there, "
            "and say so with --option tracking=off"
        )
    return None


def problems_of(
    kind: Kind, secrets: Mapping[str, str], options: Mapping[str, str]
) -> list[tuple[str, str]]:
    """What is missing or wrong, as (field, sentence)."""
    form, able = FORMS[kind], CAPABILITIES[kind]
    found = [
        (f"secrets.{name}", f"is needed: --secret {name}=…")
        for name in form.secrets
        if not secrets.get(name)
    ]
    found += [
        (f"options.{name}", f"is needed: --option {name}=…")
        for name in form.needed
        if not options.get(name)
    ]
    known = (*form.needed, *form.options)
    for name in sorted(secrets.keys() - set(form.secrets)):
        takes = ", ".join(form.secrets) or "none"
        found.append((f"secrets.{name}", f"is no secret of {kind}; it takes {takes}"))
    for name, value in sorted(options.items()):
        if name not in known:
            takes = ", ".join(known) or "none"
            found.append((f"options.{name}", f"is no option of {kind}; it takes {takes}"))
        elif (wrong := _wrong(able, name, value)) is not None:
            found.append((f"options.{name}", wrong))
    odd = [n for n, v in {**secrets, **options}.items() if not _clean(v)]
    return found + [(name, "holds control characters, or is too long") for name in odd]


def _clean(value: str) -> bool:
    return len(value) <= VALUE_LETTERS_MAX and value.isprintable()


def _wrong(able: Capabilities, name: str, value: str) -> str | None:
    match name:
        case "region":
            known = ", ".join(able.regions)
            return None if value in able.regions else f"is one of {known}"
        case "batch":
            return _number(value, 1, able.batch_max)
        case "in_flight":
            return _number(value, 1, IN_FLIGHT_MAX)
        case "per_day":
            return _number(value, 1, 100_000_000)
        case "ipv6":
            return None if value in {"on", "off"} else "is on or off"
        case "source_ips":
            given = value.replace(",", " ").split()
            return None if all(map(_is_address, given)) else "is addresses"
        case "in_doubt_max":
            return _number(value, 1, 1_000)
        case "rate":
            return _number(value, 0.01, RATE_MAX)
        case "tracking":
            return None if value == "off" else "is off, once it is off in the provider's settings"
        case "domain":
            plain = value.replace(".", "").replace("-", "")
            return None if plain.isascii() and plain.isalnum() else "is a domain's name"
        case _:
            return None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _number(value: str, low: float, high: float) -> str | None:
    try:
        number = float(value) if isinstance(low, float) else int(value)
    except ValueError:
        number = low - 1
    return None if low <= number <= high else f"is a number from {low:g} to {high:g}"
