"""Whether a message that is asked for already must not go any more, after what was just heard."""

from collections.abc import Mapping

from chappe.events import ConsentState
from chappe_sender.domain.permission import Permission
from chappe_sender.domain.template import MessageClass

LIFTED_BY_CONSENT = frozenset({"unsubscribed", "erased"})
"""Reasons that close an address for marketing alone."""


def lowers(permission: Permission) -> bool:
    """Whether it could take back anything."""
    left = permission.consent is not None and (
        permission.consent.state is ConsentState.UNSUBSCRIBED
    )
    return left or permission.erased or bool(permission.topics_out)


def withdrawal(
    message_class: MessageClass | None,
    topic: str | None,
    permission: Permission | None,
    closed: Mapping[str, str],
) -> str | None:
    """Why it does not go, in the words of the claim; None: nothing speaks against it.

    ``permission`` is its contact's, if that was changed; ``closed`` is scope → reason of what was
    closed for its address. Who never agreed may still agree before the message is due, so only
    what was taken back counts.
    """
    every = closed.get("")
    if permission is not None and permission.erased:
        return "erased"
    if every is not None and every not in LIFTED_BY_CONSENT:
        return "suppressed"
    if message_class is MessageClass.TRANSACTIONAL:
        return None
    consent = permission.consent if permission is not None else None
    if every is not None or (consent is not None and consent.state is ConsentState.UNSUBSCRIBED):
        return "unsubscribed"
    out = permission.topics_out if permission is not None else frozenset[str]()
    return "topic_opted_out" if topic is not None and (topic in out or topic in closed) else None
