"""Returned mails without a report in them: who did not get it, and why, read from the text.

Postfix, qmail, Yahoo and GMX put ``<address>:`` before the reason; Exim, Sendmail, Gmail and
Exchange the address on a line of its own; others a sentence with both.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from chappe_sender.domain.bounces import mime
from chappe_sender.domain.bounces.classify import Diagnosis, classify, cleaned
from chappe_sender.domain.bounces.events import BounceClass, Kind, ProviderEvent
from chappe_sender.domain.bounces.letters import (
    ADDRESS,
    Original,
    addresses,
    is_robot,
    one_line,
    original_of,
    report_address,
)
from chappe_sender.domain.bounces.mime import Part
from chappe_sender.domain.bounces.replies import RETURNED, from_a_daemon, says_returned

RECIPIENTS_MAX: Final = 50
LINES_MAX: Final = 600
TEXT_MAX: Final = 200_000
REASON_LINES_MAX: Final = 15

_COPY = re.compile(
    r"(?im)^[ \t>]*(?:"
    r"-{2,}[ \t]*(?:below this line|this is a copy|original|unsent|returned|message (?:header|"
    r"text)|"
    r"the (?:body|header|original|text)|forwarded|included is|enclosed|urspr|message d'origine|"
    r"mensaje original|messaggio origin|mensagem orig|start of|copy of|header|your (?:message|"
    r"mail))"
    r"[^\n]*"
    r"|=+[ \t]*original[^\n]*|original (?:message|mail)\b(?! was received)[^\n]{0,60}|"
    r"(?:returned|rejected) message(?: headers| header| follows| text| attached| below)[^\n]*|"
    r"message headers follow[^\n]*|"
    r"(?:the )?(?:original|header|headers of (?:your|the))[^\n]{0,30}(?:message|"
    r"mail)[^\n]{0,20}follow"
    r"[^\n]*|<{3,20}[^\n<]{0,80}original[^\n]*|received: (?:from|by) [^\n]*|return-path: [^\n]*|"
    r"le message d'origine[^\n]*|nachfolgend[^\n]*|es folgt[^\n]*)$"
)
_NAMED = re.compile(
    rf"^(?![ \t>*-]*(?i:message-id|references|in-reply-to|from|sender|reply-to|return-path)[ \t]?:)"
    rf"[ \t>*-]*(?:\S{{0,20}}[ \t])?[<\[]({ADDRESS})[>\]][ \t]?(?::|\.\.\.|\(|,|$)(.*)$"
)
_ALONE = re.compile(
    rf"^[ \t>*-]*(?:(?![ \t>*-]*(?:from|cc|sender|reply|subject|message|received|date|sent|"
    rf"x-|list|contact|help|support|de\b|von\b|da\b))[\w' -]{{1,40}}:[ \t]*)?[\"'<\[]?"
    rf"(?:mailto:)?({ADDRESS})(?![\w-]|\.\w)[\"'>\]]?(?:[ \t]*<(?:mailto:)?[^<>\s]*>)?"
    rf"[ \t]*(?:[:;,(.\-]|\bon \d|\bam \d|\ble \d|=>|\.\.\.|$)(.*)$",
    re.IGNORECASE,
)
_MAILTO = re.compile(rf"^[ \t]*[^<>\n]{{0,80}}<mailto:({ADDRESS})>(.*)$")
_LATER = re.compile(
    r"(has|have) been delayed|is delayed|(has|have|was|could) not (yet |been )+(be )?delivered|"
    r"not yet been "
    r"delivered|"
    r"delivery (is |has been )?(temporarily )?(delayed|deferred|incomplete)|will (be retried|"
    r"be (made|"
    r"attempted)|continue|keep (on )?try|try (again|sending|to deliver)|retry)|"
    r"still (being )?(retried|"
    r"try)|no action is required|warning message only|you do not need to resend|do not (need to )?"
    r"(resend|re-send)|(temporary|transient) (non-fatal|delivery)|non-?fatal errors|"
    r"(delivery|warning).{0,20}(delay|warning)|postponed|advisory-only|verzogert|retarde|retraso|"
    r"ritard|vertraagd|"
    r"nouvelle(s)? tentative|se seguira intentando|weiter versucht|задерж"
)
_FINAL = re.compile(
    r"permanent(ly)? (fatal )?(error|fail)|failed permanently|giving up|given up|fatal error|"
    r"not be retried|gave up|not going to try|has been (bounced|returned)|permanent fatal|"
    r"could not be delivered\.|delivery has failed"
)
_QUOTED_TO = re.compile(
    r"(?im)^[ \t]*(?:to|an|a|\u00e0|para|aan|till|til)[ \t]*:[^\n]*\n(?=[ \t]*(?:subject|sent|cc|"
    r"objet|envoy|"
    r"betreff|gesendet|asunto|enviado|oggetto|inviato|assunto|onderwerp)[^\n:]{0,12}:)"
)
"""Exchange's ``Your message / To: … / Subject: …``: whom we wrote to, perhaps a list."""
_HEADER_LINE = re.compile(r"(?im)^[ \t>]*(to|from|message-id|chappe-message)[ \t]*:[ \t]*(.+)$")


@dataclass(frozen=True, slots=True)
class _Named:
    recipient: str
    reason: str


def events(part: Part, text: str, original: Original) -> list[ProviderEvent]:
    """One event for each recipient named, or one without a recipient when none is.

    Nothing when the text gives no reason to think that a mail did not arrive.
    """
    told, copy = _split(_QUOTED_TO.sub("", text[:TEXT_MAX]).replace("SMTP=", " "))
    original = _completed(original, copy)
    everyone = _everyone(part, told, original)
    clean = cleaned(told)
    kind = _kind(part, clean)
    whole = classify(told, failed=True)
    if not _likely(part, clean, whole):
        return []
    at = mime.date(part.get("date"))
    found: list[ProviderEvent] = []
    for named in everyone[:RECIPIENTS_MAX] or [_Named("", told)]:
        diagnosis, reason = _diagnosis(named, told, whole)
        found.append(
            ProviderEvent(
                kind=kind,
                recipient=named.recipient or None,
                bounce_class=diagnosis.bounce_class,
                reason=one_line(reason),
                permanent=kind is Kind.BOUNCED and diagnosis.permanent,
                provider_message_id=original.message_id,
                occurred_at=at,
                message=original.message,
            )
        )
    return found


def _likely(part: Part, clean: str, whole: Diagnosis) -> bool:
    if says_returned(part) or RETURNED.search(clean) or "mailer-daemon" in part.get("from").lower():
        return True
    return from_a_daemon(part) and whole.bounce_class is not BounceClass.UNKNOWN


def _split(text: str) -> tuple[str, str]:
    match = _COPY.search(text)
    if match is None or not text[: match.start()].strip():
        return text, ""
    return text[: match.start()], text[match.start() :]


def _completed(original: Original, copy: str) -> Original:
    if original.message_id or original.to or not copy:
        return original
    lines = [(m[1].lower(), m[2].strip()) for m in _HEADER_LINE.finditer(copy[:20_000])]
    return original_of(lines)


def _kind(part: Part, clean: str) -> Kind:
    subject = cleaned(part.get("subject"))
    if _FINAL.search(clean) or _FINAL.search(subject):
        return Kind.BOUNCED
    return Kind.DEFERRED if _LATER.search(subject) or _LATER.search(clean) else Kind.BOUNCED


def _diagnosis(named: _Named, told: str, whole: Diagnosis) -> tuple[Diagnosis, str]:
    own = classify(named.reason, failed=True)
    if own.sure or not (whole.sure or own.bounce_class is BounceClass.UNKNOWN):
        return own, named.reason
    return whole, named.reason or told


def _everyone(part: Part, told: str, original: Original) -> list[_Named]:
    ours = {a.lower() for a in (*addresses(part.get("to")), *addresses(part.get("from")))}
    if original.sender:
        ours.add(original.sender.lower())
    named = [n for n in _blocks(told) if n.recipient.lower() not in ours]
    stated = part.get("x-failed-recipients").split(",")
    failed = [a for each in stated if (a := report_address(each))]
    if failed:
        reasons = {n.recipient.lower(): n.reason for n in reversed(named)}
        return [_Named(a, reasons.get(a.lower(), "")) for a in dict.fromkeys(failed)]
    if named:
        return _once(named)
    loose = [a for a in addresses(told) if a.lower() not in ours and not is_robot(a)]
    if original.to and (not loose or original.to.lower() in {a.lower() for a in loose}):
        return [_Named(original.to, "")]
    return [_Named(a, "") for a in dict.fromkeys(loose)][:1]


def _once(named: list[_Named]) -> list[_Named]:
    found: dict[str, _Named] = {}
    for each in named:
        known = found.get(each.recipient.lower())
        reason = f"{known.reason} {each.reason}" if known else each.reason
        found[each.recipient.lower()] = _Named(known.recipient if known else each.recipient, reason)
    return list(found.values())


def _blocks(told: str) -> Iterator[_Named]:
    lines = told.split("\n")[:LINES_MAX]
    for index, line in enumerate(lines):
        match = _NAMED.match(line[:500]) or _MAILTO.match(line[:500]) or _ALONE.match(line[:500])
        if match is None or is_robot(match[1]):
            continue
        reason = [match[2].strip()]
        for following in lines[index + 1 : index + 1 + REASON_LINES_MAX]:
            starts = _NAMED.match(following[:500]) or _ALONE.match(following[:500])
            if starts or (not following.strip() and any(reason)):
                break
            reason.append(following.strip())
        yield _Named(match[1], " ".join(filter(None, reason)))
