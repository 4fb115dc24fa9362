"""Show a template as somebody would get it, and send it to a few people as a test.

A test leaves no trace: no pixel, no counted link, no row in the ledger, and the links to leave lead
nowhere, so that whoever tries them unsubscribes nobody.
"""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any, Protocol

from chappe.ids import WorkspaceId
from chappe_sender.application.ports import Content, Render, Verdict
from chappe_sender.domain import gate, mime, samples
from chappe_sender.domain.addresses import Address, Mailbox
from chappe_sender.domain.brand import Brand
from chappe_sender.domain.envelope import Envelope
from chappe_sender.domain.template import MessageClass, TemplateVersion

TEST_ADDRESSES_MAX = 5
TEST_MARK = "[Test] "


@dataclass(frozen=True, slots=True)
class Untracked:
    """Links as the template has them; those of ours lead nowhere. They are noted as they come."""

    public_url: str
    met: list[str] = field(default_factory=list[str])

    def open(self) -> str:
        """A pixel that nobody fetches (RFC 2397)."""
        return "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="

    def click(self, index: int, destination: str) -> str:
        _ = index
        if destination not in self.met:
            self.met.append(destination)
        return destination

    def unsubscribe(self) -> str:
        return f"{self.public_url}/u/test"

    def preferences(self) -> str:
        return f"{self.public_url}/p/test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """As whom, and about what. None: somebody and something made up."""

    contact: dict[str, Any] | None = None
    event: dict[str, Any] | None = None
    locale: str | None = None
    coupon: str = "SAMPLE-10"


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be sent. ``raw`` is the whole message."""

    mail: mime.Mail
    locale: str
    links: list[str]
    raw: bytes

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Unfolded, in order."""
        head = self.raw.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b" ").decode("ascii", "replace")
        pairs = (line.partition(": ") for line in head.split("\r\n"))
        return [(name, value) for name, _, value in pairs]

    @property
    def html_bytes(self) -> int:
        return gate.weight(self.mail.html)


@dataclass(frozen=True, slots=True)
class Previewer:
    """Makes previews. ``sender`` is whom mail is from where the brand kit does not say."""

    render: Render
    public_url: str
    sender: Mailbox

    def preview(
        self,
        version: TemplateVersion,
        brand: Brand,
        person: Person,
        *,
        workspace: WorkspaceId,
        to: Address,
        id_: str,
        now: dt.datetime,
        mark: str = "",
    ) -> Preview:
        """Raises ``ContentError`` and ``HeaderError``."""
        values = samples.values(contact=person.contact, event=person.event, brand=brand)
        values |= {
            "coupon": samples.Coupon(person.coupon),
            "workspace": {"name": workspace},
            "now": now.isoformat(),
        }
        said = values["contact"].get("locale")
        locale = person.locale or (said if isinstance(said, str) else None)
        links = Untracked(self.public_url)
        made: Content = self.render.render(version, locale, values, links)
        marketing = version.message_class is MessageClass.MARKETING
        mail = mime.Mail(
            message=id_,
            workspace=workspace,
            journey="test",
            sender=brand.mailbox(self.sender),
            reply_to=brand.reply_mailbox(),
            to=to,
            subject=f"{mark}{made.subject}",
            date=now,
            html=made.html,
            text=made.text,
            plain_style=made.plain_style,
            marketing=mime.Marketing(
                unsubscribe_url=links.unsubscribe(), topic=version.topic or "mail"
            )
            if marketing
            else None,
        )
        return Preview(mail, version.variant(locale)[0], links.met, mime.build(mail))


class TestRoute(Protocol):
    """The way out that a test goes."""

    async def __call__(
        self, workspace: WorkspaceId, id_: str, envelope: Envelope, mail: mime.Mail
    ) -> Verdict:
        """Raises ``LookupError`` when there is no way out."""
        ...
