"""The built-in inbox: mail in over SMTP, durable before its 250; a page and an API to see it."""

from chappe_onebox.inbox.database import InboxTooNewError
from chappe_onebox.inbox.inbox import Inbox, open_inbox
from chappe_onebox.inbox.limits import Limits

__all__ = ["Inbox", "InboxTooNewError", "Limits", "open_inbox"]
