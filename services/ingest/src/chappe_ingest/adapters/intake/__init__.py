"""Where returned mail comes in: a listener of our own, or a mailbox that is read."""

from chappe_ingest.adapters.intake.imap import ImapBox, MailboxError, mailbox_of
from chappe_ingest.adapters.intake.smtp import Listener

__all__ = ["ImapBox", "Listener", "MailboxError", "mailbox_of"]
