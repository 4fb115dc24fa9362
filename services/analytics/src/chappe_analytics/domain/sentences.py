"""Say in one short sentence what happened, as a marketer would read it on a timeline."""

from collections.abc import Callable
from typing import Any, cast

from chappe.events import Decision, Event
from chappe_analytics.domain.tallies import amount_of, plain

SENTENCE_LENGTH_MAX = 300
PART_LENGTH_MAX = 120

REASONS = {
    "accepted": "it was accepted after all",
    "already_entered": "it was entered before",
    "asked": "somebody asked for it",
    "attempts": "every attempt was in vain",
    "authentication": "the receiver could not tell that it is from us",
    "bad_domain": "the address's domain takes no mail",
    "breaker": "its receiver refuses what we send for now",
    "captured": "sending is in capture mode",
    "catching_up": "events of the outage are heard first",
    "closed_key": "that cart or key is closed already",
    "completed": "the checkout was completed already",
    "condition": "the exit condition holds",
    "connection": "the connection to the receiver broke",
    "content": "the receiver does not take its content",
    "cooldown": "the last time is too recent",
    "date_cancelled": "its date was taken away",
    "date_moved": "its date is another one now",
    "date_passed": "its moment lies in the past",
    "deadline": "it came too late to make sense",
    "deferred": "the mail server asked to wait",
    "deleted": "the contact was deleted",
    "domain_check": "the DNS of our domain contradicts what we would send",
    "end_date": "the journey is over",
    "ended": "the journey takes nobody in any more",
    "erased": "the contact asked to be erased",
    "expired": "the receiver was asked for too long",
    "failed_over": "another provider takes it",
    "filter": "the entry filter does not hold",
    "finished": "the last step is taken",
    "frequency_cap": "there was enough mail lately",
    "goal": "the goal is reached",
    "historical": "the event is too old",
    "holdout": "the contact is held out to compare",
    "inactive_mailbox": "the mailbox is not in use",
    "interrupted": "the sender stopped on the way",
    "invalid_recipient": "the address does not exist",
    "mailbox_full": "the mailbox is full",
    "merged": "another run of the same contact goes on",
    "newer_cart": "there is a newer cart",
    "next_load": "it goes with the next request",
    "no_address": "there is no address to write to",
    "no_answer": "the mail server took it and did not answer",
    "no_consent": "there is no consent to marketing mail",
    "no_coupon": "there is no coupon code left",
    "no_date": "there is no date to wait for",
    "no_key": "the event has no key",
    "no_request": "it takes no such request",
    "no_route": "no provider takes it now",
    "no_version": "there is no such version",
    "not_accepted": "it was not accepted",
    "not_in_the_inbox": "it is not in the inbox",
    "not_started": "the journey takes nobody in yet",
    "overtaken": "a later mail of the journey took its place",
    "paused": "the journey is paused",
    "policy": "the receiver's rules refuse it",
    "protocol": "the servers did not understand each other",
    "provider_refuses": "the provider takes nothing now",
    "quiet_hours": "it is a quiet hour there",
    "rate_limited": "the receiver takes no more for now",
    "refused": "the mail server refused it",
    "regrouped": "the request changed",
    "relaying": "the server does not relay it",
    "render_failed": "its content could not be written",
    "reputation": "the receiver does not trust the sender",
    "route_closed": "the provider is not in use any more",
    "server_error": "the receiver's server failed",
    "site_rate": "its receiver gets enough for now",
    "site_rests": "its receiver asked for a rest",
    "site_slowed": "its receiver asked for less",
    "spam": "the receiver takes it for spam",
    "step_removed": "its step is not in the new version",
    "stopped": "the sender stops",
    "suppressed": "the address is suppressed",
    "template_missing": "its template is missing",
    "test_event": "it is a test order",
    "throttled": "the provider asked to slow down",
    "too_deep": "facts followed from one another too often",
    "too_large": "it is too large for the receiver",
    "too_late": "it is too late for it",
    "too_many": "the contact is inside too many journeys",
    "too_many_at_once": "the contact is inside often enough",
    "too_many_steps": "it took too many steps at once",
    "too_many_watches": "the contact is watched by too many journeys",
    "took_in": "they are one person",
    "topic_opted_out": "the contact opted out of the topic",
    "unknown": "the receiver did not say why",
    "unreachable": "the mail server could not be reached",
    "unreadable_transfer": "what the other contact brought cannot be read",
    "unsubscribed": "the contact unsubscribed",
    "unverified": "the source is not trusted to start it",
    "where": "the trigger's condition does not hold",
}

_PLAIN = {
    "contact.created": "Signed up",
    "contact.updated": "The profile changed",
    "contact.deleted": "The contact was deleted",
    "contact.merged": "Two contacts turned out to be one",
    "contact.replied": "Replied to a mail",
    "cart.updated": "Changed the cart",
    "checkout.expired": "Left the checkout behind",
    "email.complained": "Reported the mail as spam",
    "email.unsubscribed": "Unsubscribed",
    "privacy.erase_requested": "Asked to be erased",
    "privacy.export_requested": "Asked for their data",
}

_MAILS = {
    "email.accepted": "{mail} was accepted by the mail server",
    "email.delivered": "{mail} was delivered",
    "email.deferred": "{mail} is delayed",
    "email.bounced": "{mail} bounced",
    "email.rejected": "{mail} was rejected by the provider",
    "email.skipped": "{mail} was not sent",
    "email.cancelled": "{mail} was cancelled",
    "email.failed": "{mail} failed",
    "email.in_doubt": "Nobody knows whether {mail} was accepted",
    "email.resolved": "The doubt about {mail} was resolved",
}


def of_event(event: Event) -> str:
    """What happened."""
    text = _PLAIN.get(event.name) or _with_detail(event)
    return text[:SENTENCE_LENGTH_MAX]


def of_decision(decision: Decision) -> str:
    """What was decided, and why."""
    say = DECISIONS.get(decision.what)
    if say is None:
        text = _spelled(decision.what) + _about(decision) + _because(decision.reason)
    else:
        text = say(decision)
    return text[:SENTENCE_LENGTH_MAX]


def reason_in_words(reason: str) -> str:
    """``closed_key`` as a clause; a word we do not know, spelled out."""
    return REASONS.get(reason) or reason.replace("_", " ")


def _with_detail(event: Event) -> str:
    data = event.data
    match event.name:
        case "contact.consent_changed":
            return f"Consent to mail is now {_consent(event)}"
        case "checkout.started":
            return "Started a checkout" + _worth(data)
        case "checkout.updated":
            return "Changed the checkout" + _worth(data)
        case "order.placed":
            return f"Placed {_order(data)}" + _worth(data)
        case "order.paid" | "order.fulfilled" | "order.cancelled" | "order.refunded":
            return _first_up(f"{_order(data)} was {event.name[len('order.') :]}") + _worth(data)
        case "order.updated":
            return _first_up(f"{_order(data)} changed")
        case "product.viewed":
            return "Looked at " + (_text(data, "title", "name", "product_id") or "a product")
        case "page.viewed":
            return "Looked at " + (_text(data, "title", "url", "path", "name") or "a page")
        case "email.opened":
            return _engaged(data, "Opened the mail", "A machine opened the mail")
        case "email.clicked":
            # The query of a recovery link is a key to the cart: a sentence is read aloud.
            link = (_text(data, "url") or "a link").partition("?")[0]
            return _engaged(data, f"Clicked {link}", f"A machine clicked {link}")
        case name if name in _MAILS:
            reason = _text(data, "reason")
            sentence = _MAILS[name].format(mail=_mail(data))
            return _first_up(sentence) + _because(reason)
        case _:
            return _spelled(event.name)


def _waiting(decision: Decision) -> str:
    until = decision.seen.get("until")
    if not isinstance(until, str):
        return "Waits" + _at(decision)
    return f"Waits until {until[:16].replace('T', ' ')}" + _at(decision)


def _wait_over(decision: Decision) -> str:
    why = {
        "time": "the time is over",
        "timeout": "nothing came in time",
        "event": "what it waited for came",
        "already": "it had happened already",
        "condition": "what it waited for is so now",
        "passed": "its moment lies in the past",
    }
    return "Goes on" + _at(decision) + f": {why.get(decision.reason or '', decision.reason or '')}"


def _exited(decision: Decision) -> str:
    reason = decision.reason or ""
    if "." in reason:
        return f"Left {_journey(decision)}, because of {reason}"
    return f"Left {_journey(decision)}" + _because(reason)


DECISIONS: dict[str, Callable[[Decision], str]] = {
    "entered": lambda d: f"Entered {_journey(d)}",
    "not_entered": lambda d: f"Did not enter {_journey(d)}" + _because(d.reason),
    "waiting": _waiting,
    "wait_over": _wait_over,
    "branched": lambda d: f"Took the branch {d.reason or ''}" + _at(d),
    "asked": lambda d: f"Asked for {_the_mail(d)} of {_journey(d)}",
    "skipped": lambda d: f"{_first_up(_the_mail(d))} is not sent" + _because(d.reason),
    "cancelled": lambda d: f"Took back {_the_mail(d)}" + _because(_event_reason(d.reason)),
    "exited": _exited,
    "finished": lambda d: f"Reached the end of {_journey(d)}",
    "split": lambda d: f"Drew the way {d.reason or ''}" + _at(d),
    "updated": lambda d: "Changed the contact" + _at(d),
    "called": lambda d: "Called a server" + _at(d),
    "answered": lambda d: "A server answered" + _at(d),
    "call_dropped": lambda d: "Took back the call" + _at(d) + _because(_event_reason(d.reason)),
    "notified": lambda d: "Told the team" + _at(d),
    "journey_requested": lambda d: f"Asked for the journey {d.reason or ''}" + _at(d),
    "trapped": lambda d: f"{_first_up(_the_mail(d))} is kept back" + _because(d.reason),
    "date_moved": lambda d: "Waits for another date" + _at(d),
    "restarted": lambda d: "Waits anew" + _at(d),
    "goal_reached": lambda d: f"Reached the goal of {_journey(d)}",
    "held": lambda d: "Stays" + _at(d) + _because(d.reason),
    "resumed": lambda d: "Goes on" + _at(d) + " after the pause",
    "stopped": lambda d: "Went no further" + _because(d.reason),
    "handed_over": lambda d: f"Handed over {_the_mail(d)}",
    "postponed": lambda d: f"{_first_up(_the_mail(d))} is tried again later" + _because(d.reason),
    "bounced": lambda d: f"{_first_up(_the_mail(d))} bounced" + _because(d.reason),
    "failed": lambda d: f"{_first_up(_the_mail(d))} failed" + _because(d.reason),
    "in_doubt": lambda d: f"Nobody knows whether {_the_mail(d)} was accepted" + _because(d.reason),
    "rejected": lambda d: f"{_first_up(_the_mail(d))} was rejected" + _because(d.reason),
    "delivered": lambda d: f"{_first_up(_the_mail(d))} was delivered",
    "deferred": lambda d: f"{_first_up(_the_mail(d))} is delayed" + _because(d.reason),
    "resolved": lambda d: f"The doubt about {_the_mail(d)} was resolved" + _because(d.reason),
    "merged": lambda d: "Took in another contact" + _because(d.reason),
    "moved": lambda d: f"Brought {_journey(d)} along from another contact",
    "upgraded": lambda d: f"Goes on in a newer version of {_journey(d)}",
    "not_upgraded": lambda d: f"Stays in its version of {_journey(d)}" + _because(d.reason),
    "wait_changed": lambda d: "Waits otherwise" + _at(d) + " in the newer version",
    "cancel_too_late": lambda d: f"Too late to take back {_the_mail(d)}",
}


def _event_reason(reason: str | None) -> str | None:
    return f"{reason} came first" if reason and "." in reason else reason


def _because(reason: str | None) -> str:
    return f": {reason_in_words(reason)}" if reason else ""


def _about(decision: Decision) -> str:
    return f" in {decision.journey}" if decision.journey else ""


def _at(decision: Decision) -> str:
    return f" at {decision.step} of {_journey(decision)}" if decision.step else ""


def _the_mail(decision: Decision) -> str:
    return f"the mail {decision.step}" if decision.step else "the mail"


def _journey(decision: Decision) -> str:
    return decision.journey or "a journey"


def _engaged(data: dict[str, Any], reader: str, machine: str) -> str:
    return machine if data.get("verdict") == "machine" else reader


def _mail(data: dict[str, Any]) -> str:
    name = _text(data, "step", "template")
    return f"the mail {name}" if name else "the mail"


def _order(data: dict[str, Any]) -> str:
    number = _text(data, "number", "order_id")
    return f"order {number}" if number else "an order"


def _worth(data: dict[str, Any]) -> str:
    total = data.get("total")
    if not isinstance(total, dict):
        return ""
    money = cast("dict[str, object]", total)
    amount, currency = amount_of(money.get("amount")), money.get("currency")
    if amount is None or not isinstance(currency, str):
        return ""
    return f", {plain(amount)} {currency[:PART_LENGTH_MAX]}"


def _consent(event: Event) -> str:
    consent = event.traits.get("consent")
    said = cast("dict[str, object]", consent).get("email") if isinstance(consent, dict) else None
    if isinstance(said, dict):
        said = cast("dict[str, object]", said).get("state")
    return said[:PART_LENGTH_MAX] if isinstance(said, str) else "changed"


def _text(data: dict[str, Any], *names: str) -> str | None:
    """The first of these fields that is a text with something in it."""
    for name in names:
        value = data.get(name)
        if isinstance(value, str) and value.strip():
            return value.strip()[:PART_LENGTH_MAX]
    return None


def _spelled(name: str) -> str:
    """``custom.quiz_done`` → ``Quiz done``; ``subscription.created`` → ``Subscription created``."""
    words = name.removeprefix("custom.").replace(".", " ").replace("_", " ")
    return _first_up(words[:PART_LENGTH_MAX])


def _first_up(text: str) -> str:
    return text[:1].upper() + text[1:]
