"""What to paste where, so that a provider tells us what becomes of our mail."""

from typing import Final

ISSUED: Final = frozenset({"postmark", "mailjet", "brevo", "sparkpost"})
"""Providers that sign nothing: we make up the credentials that their webhook carries."""

SIGNED: Final = frozenset({"sendgrid", "mailgun", "resend"})
"""Providers that make up the secret or key, and show it once the webhook exists."""

USER: Final = "chappe"

_KEPT: Final = "Leave opens, clicks and unsubscribes off there: Chappe does these itself."
_STEPS: Final = {
    "ses": (
        (
            "In Amazon SNS create a standard topic, and an HTTPS subscription of it to "
            "{url} "
            "(raw message delivery off). Chappe confirms it by itself."
        ),
        (
            "In Amazon SES, configuration set, event destinations: choose the topic and the events "
            "delivery, delivery delay, bounce, complaint, reject and rendering failure."
        ),
        (
            "SNS gives up after an hour. To lose nothing while Chappe is away, subscribe an SQS "
            "queue "
            "instead and add it with --queue-url."
        ),
    ),
    "sendgrid": (
        (
            "In Settings, Mail Settings, Event Webhook: post to {url}, and choose processed, "
            "delivered, deferred, bounced, dropped, spam reports."
        ),
        (
            "Turn on Signature Verification and copy the Verification Key: "
            "chappe providers endpoint set-secret {name} --secret KEY"
        ),
        _KEPT,
    ),
    "mailgun": (
        (
            "In Sending, Webhooks: add {url} for delivered, permanent and temporary failure, and "
            "spam complaints."
        ),
        (
            "Copy the HTTP webhook signing key (it is not the API key): "
            "chappe providers endpoint set-secret {name} --secret KEY"
        ),
        _KEPT,
    ),
    "postmark": (
        (
            "In the server's message stream, Webhooks: add {auth_url} for delivery, bounce and "
            "spam "
            "complaint."
        ),
        _KEPT,
    ),
    "mailjet": (
        (
            "In Account, Event notifications: set {auth_url} for sent, bounce, spam, blocked and "
            "unsub, grouped."
        ),
    ),
    "brevo": (
        (
            "In Transactional, Settings, Webhook: add {url} with basic authentication, user "
            "{user}, "
            "password {password}, for delivered, deferred, soft and hard bounce, blocked, invalid, "
            "error and complaint."
        ),
        _KEPT,
    ),
    "resend": (
        (
            "In Webhooks: add {url} for email.delivered, delivery_delayed, bounced, complained, "
            "failed and suppressed."
        ),
        (
            "Copy the signing secret (whsec_…): "
            "chappe providers endpoint set-secret {name} --secret SECRET"
        ),
    ),
    "sparkpost": (
        (
            "In Configuration, Webhooks: target {url}, basic auth, user {user}, password "
            "{password}, "
            "events delivery, delay, bounce, out of band, policy rejection, generation failure and "
            "spam complaint."
        ),
        _KEPT,
    ),
}


def steps(kind: str, name: str, url: str, secret: str | None) -> list[str]:
    """The steps for ``kind``; ``secret`` is ``user:password`` where we made it up."""
    user, _, password = (secret or "").partition(":")
    scheme, _, rest = url.partition("://")
    words = {
        "name": name,
        "url": url,
        "user": user,
        "password": password,
        "auth_url": f"{scheme}://{secret}@{rest}" if secret else url,
    }
    return [step.format(**words) for step in _STEPS.get(kind, ())]
