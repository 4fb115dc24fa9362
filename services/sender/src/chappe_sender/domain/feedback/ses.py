"""Amazon SES through SNS: one event as JSON within JSON, signed by a certificate of Amazon's.

"Amazon SNS: Verifying the signatures of messages"; "Amazon SES: Contents of event data".
"""

import datetime as dt
import re
from typing import Any, Final, cast
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from chappe_sender.domain.bounces import BounceClass, Diagnosis, Kind, ProviderEvent
from chappe_sender.domain.feedback.reading import (
    Json,
    diagnose,
    event,
    hinted,
    mailbox,
    moment,
    obj,
    objects,
    own_message,
    parse,
    text,
)
from chappe_sender.domain.feedback.signatures import (
    NO_SECRET,
    VERIFIED,
    Headers,
    Verdict,
    first,
    shared,
    unbase64,
)

RETRIES_LAST: Final = dt.timedelta(hours=2)
"""SNS signs a message once and tries for up to an hour."""

RECIPIENTS_MAX: Final = 100

_NOTICE: Final = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_HANDSHAKE: Final = (
    "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type",
)  # fmt: skip
_HANDSHAKES: Final = ("SubscriptionConfirmation", "UnsubscribeConfirmation")
_HOST = re.compile(r"sns\.[a-z0-9-]{3,30}\.amazonaws\.com(\.cn)?")

_DELAYS: Final = {
    "MailboxFull": BounceClass.MAILBOX_FULL,
    "SpamDetected": BounceClass.SPAM,
    "RecipientServerError": BounceClass.SERVER_ERROR,
    "IPFailure": BounceClass.REPUTATION,
    "TransientCommunicationFailure": BounceClass.CONNECTION,
    "BYOIPHostNameLookupUnavailable": BounceClass.CONNECTION,
    "InternalFailure": BounceClass.SERVER_ERROR,
    "SendingDeferral": BounceClass.RATE_LIMITED,
}
_SUB_TYPES: Final = {
    "MailboxFull": BounceClass.MAILBOX_FULL,
    "MessageTooLarge": BounceClass.TOO_LARGE,
    "ContentRejected": BounceClass.CONTENT,
    "AttachmentRejected": BounceClass.CONTENT,
    "CustomTimeoutExceeded": BounceClass.EXPIRED,
}
_COMPLAINTS: Final = ("abuse", "fraud", "virus", "")


def verify(body: bytes, headers: Headers, secret: str | None, now: dt.datetime | None) -> Verdict:
    """``secret`` is the PEM certificate behind ``certificate_url``, or a shared secret in the URL.

    The header's type must be the body's: a confirmation must not pass for a notification.
    """
    if not secret:
        return NO_SECRET
    envelope = obj(parse(body))
    stated = first(headers, "x-amz-sns-message-type")
    if stated and envelope.get("Type") and stated != envelope.get("Type"):
        return Verdict(False, "the header x-amz-sns-message-type is not the body's Type")
    if "BEGIN CERTIFICATE" not in secret:
        return shared(headers, secret)
    if certificate_url(body) is None:
        return Verdict(False, "SigningCertURL is not one of Amazon's")
    at = moment(envelope, "Timestamp")
    if now is not None and (at is None or abs(now - at) > RETRIES_LAST):
        return Verdict(False, "signed too long ago: a replay, or a wrong clock")
    if not _signed(envelope, secret):
        return Verdict(False, "the signature does not match the certificate")
    return VERIFIED


def certificate_url(body: bytes) -> str | None:
    """Where the certificate is to be fetched: https, a host of SNS, a ``.pem``; else None."""
    return _amazon(text(obj(parse(body)), "SigningCertURL", "SigningCertUrl"), ".pem")


def subscribe_url(body: bytes) -> str | None:
    """What to GET to confirm a subscription that was asked for; None when it is none."""
    envelope = obj(parse(body))
    if envelope.get("Type") != "SubscriptionConfirmation":
        return None
    return _amazon(text(envelope, "SubscribeURL"), "")


def topic(body: bytes) -> str:
    """The topic a message says it is from: confirm only one's own."""
    return text(obj(parse(body)), "TopicArn")


def read(body: bytes, headers: Headers) -> list[ProviderEvent]:
    """The events in one delivery, with SNS's envelope or without (raw delivery, EventBridge)."""
    envelope = obj(parse(body))
    if envelope.get("Type") in _HANDSHAKES:
        return [_handshake(envelope)]
    inner = envelope
    if isinstance(envelope.get("Message"), str):
        inner = obj(parse(str(envelope["Message"]).encode("utf-8", "replace")))
    if "detail" in inner and "mail" in obj(inner, "detail"):
        inner = obj(inner, "detail")
    name = text(inner, "eventType", "notificationType")
    if not name:
        return []
    key = text(envelope, "MessageId") or first(headers, "x-amz-sns-message-id")
    return list(_READERS.get(name, _other)(inner, name, key))


def _handshake(envelope: Json) -> ProviderEvent:
    return event(
        Kind.OTHER,
        recipient=None,
        at=moment(envelope, "Timestamp"),
        provider_message_id="",
        reason=text(envelope, "Type"),
        dedupe=_key(text(envelope, "MessageId"), ""),
    )


def _bounce(inner: Json, _name: str, key: str) -> list[ProviderEvent]:
    bounce = obj(inner, "bounce")
    kind, sub = text(bounce, "bounceType"), text(bounce, "bounceSubType")
    out: list[ProviderEvent] = []
    for each in objects(bounce.get("bouncedRecipients")) or [{}]:
        words = text(each, "diagnosticCode").removeprefix("smtp;").strip()
        found = diagnose(words, _bounce_hint(kind, sub), field=text(each, "status"))
        rejected = sub in {"Suppressed", "OnAccountSuppressionList", "UnsubscribedRecipient"}
        if rejected:
            found = hinted(
                BounceClass.INVALID_RECIPIENT if sub == "Suppressed" else BounceClass.POLICY
            )
        elif kind != "Permanent":
            found = Diagnosis(found.bounce_class, permanent=False, later=True)
        out.append(
            _event(
                Kind.REJECTED if rejected else Kind.BOUNCED,
                inner, each, key,
                at=moment(bounce, "timestamp"),
                reason=words or f"{kind} {sub}",
                found=found,
            )
        )  # fmt: skip
    return out


def _bounce_hint(kind: str, sub: str) -> Diagnosis:
    if sub in _SUB_TYPES:
        return hinted(_SUB_TYPES[sub], dead=False)
    if kind == "Permanent":
        return hinted(BounceClass.INVALID_RECIPIENT)
    return hinted(BounceClass.UNKNOWN, dead=False)


def _complaint(inner: Json, _name: str, key: str) -> list[ProviderEvent]:
    complaint = obj(inner, "complaint")
    word = text(complaint, "complaintFeedbackType")
    kind = Kind.COMPLAINED if word in _COMPLAINTS else Kind.OTHER
    listed = text(complaint, "complaintSubType") == "OnAccountSuppressionList"
    return [
        _event(
            Kind.REJECTED if listed else kind,
            inner, each, key,
            at=moment(complaint, "arrivalDate", "timestamp"),
            reason=word or text(complaint, "complaintSubType"),
            found=hinted(BounceClass.POLICY),
        )
        for each in objects(complaint.get("complainedRecipients")) or [{}]
    ]  # fmt: skip


def _delivery(inner: Json, _name: str, key: str) -> list[ProviderEvent]:
    delivery = obj(inner, "delivery")
    given = delivery.get("recipients")
    named = cast("list[Any]", given)[:RECIPIENTS_MAX] if isinstance(given, list) else []
    return [
        _event(
            Kind.DELIVERED,
            inner, {"emailAddress": name}, key,
            at=moment(delivery, "timestamp"),
            reason=text(delivery, "smtpResponse"),
        )
        for name in named or [None]
    ]  # fmt: skip


def _delay(inner: Json, _name: str, key: str) -> list[ProviderEvent]:
    delay = obj(inner, "deliveryDelay")
    sort = text(delay, "delayType")
    hint = hinted(_DELAYS.get(sort, BounceClass.UNKNOWN), dead=False)
    out: list[ProviderEvent] = []
    for each in objects(delay.get("delayedRecipients")) or [{}]:
        words = text(each, "diagnosticCode").removeprefix("smtp;").strip()
        found = diagnose(words, hint, field=text(each, "status"))
        out.append(
            _event(
                Kind.DEFERRED,
                inner, each, key,
                at=moment(delay, "timestamp"),
                reason=words or sort,
                found=hint if sort in _DELAYS and sort != "InternalFailure" else found,
            )
        )  # fmt: skip
    return out


def _subscription(inner: Json, _name: str, key: str) -> list[ProviderEvent]:
    said = obj(inner, "subscription")
    new = obj(said, "newTopicPreferences")
    topics = objects(
        new.get("topicSubscriptionStatus") or new.get("topicDefaultSubscriptionStatus")
    )
    out = new.get("unsubscribeAll") is True or any(
        text(each, "subscriptionStatus").lower() == "optout" for each in topics
    )
    kind = Kind.UNSUBSCRIBED if out else Kind.SUBSCRIBED
    return [_event(kind, inner, {}, key, at=moment(said, "timestamp"))]


def _engaged(inner: Json, name: str, key: str) -> list[ProviderEvent]:
    seen = obj(inner, name.lower())
    return [
        _event(
            Kind.OPENED if name == "Open" else Kind.CLICKED,
            inner, {}, key,
            at=moment(seen, "timestamp"),
            url=text(seen, "link"),
            user_agent=text(seen, "userAgent"),
        )
    ]  # fmt: skip


def _refused(inner: Json, name: str, key: str) -> list[ProviderEvent]:
    said = obj(inner, "reject") or obj(inner, "failure")
    words = text(said, "reason", "errorMessage")
    bad = BounceClass.CONTENT if name == "Reject" else BounceClass.UNKNOWN
    at = moment(obj(inner, "mail"), "timestamp")
    return [_event(Kind.REJECTED, inner, {}, key, at=at, reason=words, found=hinted(bad))]


def _sent(inner: Json, _name: str, key: str) -> list[ProviderEvent]:
    return [_event(Kind.ACCEPTED, inner, {}, key, at=moment(obj(inner, "mail"), "timestamp"))]


def _other(inner: Json, name: str, key: str) -> list[ProviderEvent]:
    at = moment(obj(inner, "mail"), "timestamp")
    return [_event(Kind.OTHER, inner, {}, key, at=at, reason=name)]


_READERS: Final = {
    "Bounce": _bounce,
    "Complaint": _complaint,
    "Delivery": _delivery,
    "DeliveryDelay": _delay,
    "Send": _sent,
    "Reject": _refused,
    "Rendering Failure": _refused,
    "RenderingFailure": _refused,
    "Open": _engaged,
    "Click": _engaged,
    "Subscription": _subscription,
}


def _event(
    kind: Kind,
    inner: Json,
    each: Json,
    key: str,
    *,
    at: dt.datetime | None,
    reason: str = "",
    found: Diagnosis | None = None,
    url: str = "",
    user_agent: str = "",
) -> ProviderEvent:
    """Opens and clicks name no recipient: it is the mail's, when it has one."""
    mail = obj(inner, "mail")
    recipient = mailbox(each, "emailAddress") or mailbox(mail, "destination")
    return event(
        kind,
        recipient=recipient,
        at=at or moment(mail, "timestamp"),
        provider_message_id=text(mail, "messageId"),
        reason=reason,
        found=found,
        message=own_message(mail.get("headers"), mail.get("tags")),
        url=url,
        user_agent=user_agent,
        dedupe=_key(key, recipient or ""),
    )


def _key(key: str, recipient: str) -> tuple[str, ...]:
    return ("ses", key, recipient) if key else ()


def _amazon(url: str, ending: str) -> str | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    good = parts.scheme == "https" and port is None and parts.username is None
    host = (parts.hostname or "").lower()
    return url if good and _HOST.fullmatch(host) and parts.path.endswith(ending) else None


def _signed(envelope: Json, pem: str) -> bool:
    names = _HANDSHAKE if envelope.get("Type") in _HANDSHAKES else _NOTICE
    lines = [f"{n}\n{envelope[n]}\n" for n in names if isinstance(envelope.get(n), str)]
    old = text(envelope, "SignatureVersion") == "1"
    try:
        key = x509.load_pem_x509_certificate(pem.strip().encode()).public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            return False
        key.verify(
            unbase64(text(envelope, "Signature")),
            "".join(lines).encode("utf-8", "surrogatepass"),
            padding.PKCS1v15(),
            hashes.SHA1() if old else hashes.SHA256(),  # noqa: S303 - what SNS signs with by default
        )
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
