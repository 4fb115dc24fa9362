"""What the list shows of a mail, read once when it arrives."""

import datetime as dt
import re
from dataclasses import dataclass
from typing import Final, TypedDict

from chappe_onebox.inbox.headers import (
    Headers,
    Mailbox,
    first,
    head_of,
    mailboxes,
    message_id_of,
    parse_head,
    printable,
)

_ATTACHMENT: Final = re.compile(rb"\ncontent-disposition:\s*attachment", re.IGNORECASE)


class Listing(TypedDict):
    """The part of a list item that comes from the mail itself, under Mailpit's names."""

    From: Mailbox
    To: list[Mailbox]
    Cc: list[Mailbox]
    Bcc: list[Mailbox]
    ReplyTo: list[Mailbox]
    Subject: str
    Attachments: int


@dataclass(frozen=True, slots=True)
class NewMail:
    """A mail with what is indexed of it; the folded texts are what searches look through."""

    raw: bytes
    received_at: dt.datetime
    return_path: str
    message_id: str
    listing: Listing
    addresses: frozenset[str]
    folded_senders: str
    folded_recipients: str
    folded_subject: str


def read_mail(
    raw: bytes, *, sender: str, recipients: tuple[str, ...], received_at: dt.datetime
) -> NewMail:
    """Read the head of a mail and join it with its envelope."""
    headers = parse_head(head_of(raw))
    listing = _listing(headers, raw, sender, recipients)
    to = [*listing["To"], *listing["Cc"], *listing["Bcc"]]
    senders = [listing["From"], *listing["ReplyTo"], Mailbox(Name="", Address=sender)]
    return NewMail(
        raw=raw,
        received_at=received_at,
        return_path=printable(sender),
        message_id=message_id_of(headers),
        listing=listing,
        addresses=frozenset(
            printable(address.lower()) for address in [*recipients, *(box["Address"] for box in to)]
        ),
        folded_senders=_folded(senders),
        folded_recipients=_folded(to),
        folded_subject=listing["Subject"].casefold(),
    )


def _listing(headers: Headers, raw: bytes, sender: str, recipients: tuple[str, ...]) -> Listing:
    from_ = mailboxes(headers, "from") or [Mailbox(Name="", Address=printable(sender))]
    to, cc = mailboxes(headers, "to"), mailboxes(headers, "cc")
    shown = {box["Address"].lower() for box in [*to, *cc]}
    return Listing(
        From=from_[0],
        To=to,
        Cc=cc,
        Bcc=[
            Mailbox(Name="", Address=printable(recipient))
            for recipient in recipients
            if recipient.lower() not in shown
        ],
        ReplyTo=mailboxes(headers, "reply-to"),
        Subject=first(headers, "subject"),
        Attachments=_count_attachments(headers, raw),
    )


def _count_attachments(headers: Headers, raw: bytes) -> int:
    """Count without parsing the parts; only a mixed mail has any worth counting."""
    if "multipart/mixed" not in first(headers, "content-type").lower():
        return 0
    return sum(1 for _ in _ATTACHMENT.finditer(raw))


def _folded(boxes: list[Mailbox]) -> str:
    return "\n".join(f"{box['Name']} <{box['Address']}>" for box in boxes).casefold()
