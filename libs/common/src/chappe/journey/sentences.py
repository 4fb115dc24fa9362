"""Say a condition as a sentence, in English and in French, for people who read no YAML."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from chappe.journey.conditions import (
    All,
    AnyOf,
    Clicked,
    Comparison,
    Condition,
    ConsentIs,
    Did,
    First,
    InSegment,
    Last,
    Max,
    Not,
    Occasion,
    Opened,
    PathsAre,
    ScoreBounds,
    ScoreIs,
    Sum,
    Tagged,
    Times,
    TopicIs,
)

Language: TypeAlias = Literal["en", "fr"]

_EVENTS: Mapping[str, tuple[str, str]] = {
    "contact.created": ("signed up", "s'est inscrit"),
    "contact.updated": ("changed their details", "a changé ses coordonnées"),
    "contact.consent_changed": ("changed their consent", "a changé son consentement"),
    "contact.tags_changed": ("got or lost a tag", "a reçu ou perdu une étiquette"),
    "contact.deleted": ("was deleted", "a été supprimé"),
    "contact.merged": ("was merged", "a été fusionné"),
    "contact.replied": ("replied", "a répondu"),
    "cart.updated": ("changed the cart", "a modifié le panier"),
    "checkout.started": ("started a checkout", "a commencé une commande"),
    "checkout.updated": ("went on with a checkout", "a poursuivi une commande"),
    "checkout.expired": ("let a checkout expire", "a laissé expirer une commande"),
    "order.placed": ("placed an order", "a passé une commande"),
    "order.paid": ("paid an order", "a payé une commande"),
    "order.updated": ("had an order updated", "a vu une commande modifiée"),
    "order.fulfilled": ("had an order shipped", "a vu une commande expédiée"),
    "order.cancelled": ("cancelled an order", "a annulé une commande"),
    "order.refunded": ("was refunded", "a été remboursé"),
    "product.viewed": ("viewed a product", "a vu un produit"),
    "page.viewed": ("viewed a page", "a vu une page"),
    "subscription.created": ("took a subscription", "a pris un abonnement"),
    "subscription.renewing": ("had a subscription about to renew", "a vu un abonnement à échéance"),
    "subscription.cancelled": ("cancelled a subscription", "a résilié un abonnement"),
    "subscription.payment_failed": ("had a payment fail", "a eu un paiement refusé"),
    "segment.entered": ("entered a segment", "est entré dans un segment"),
    "segment.left": ("left a segment", "est sorti d'un segment"),
    "email.accepted": ("was sent an email", "a reçu l'envoi d'un e-mail"),
    "email.delivered": ("got an email", "a reçu un e-mail"),
    "email.opened": ("opened an email", "a ouvert un e-mail"),
    "email.clicked": ("clicked in an email", "a cliqué dans un e-mail"),
    "email.bounced": ("had an email bounce", "a eu un e-mail rejeté"),
    "email.complained": ("reported an email as spam", "a signalé un e-mail comme indésirable"),
    "email.unsubscribed": ("unsubscribed", "s'est désabonné"),
}

_STATES: Mapping[str, tuple[str, str]] = {
    "subscribed": ("given", "donné"),
    "unsubscribed": ("withdrawn", "retiré"),
    "pending": ("not yet confirmed", "pas encore confirmé"),
    "unknown": ("unknown", "inconnu"),
}

_UNITS: Sequence[tuple[int, tuple[str, str], tuple[str, str]]] = (
    (86_400, ("day", "days"), ("jour", "jours")),
    (3_600, ("hour", "hours"), ("heure", "heures")),
    (60, ("minute", "minutes"), ("minute", "minutes")),
    (1, ("second", "seconds"), ("seconde", "secondes")),
)


def sentence(condition: Condition, language: Language = "en") -> str:
    """The condition as people say it, without a full stop."""
    text = _Speaker(language).of(condition)
    return text[:1].upper() + text[1:]


class _Speaker:
    def __init__(self, language: Language) -> None:
        self._french = language == "fr"

    def say(self, english: str, french: str) -> str:
        return french if self._french else english

    def of(self, condition: Condition, *, inner: bool = False) -> str:
        """``inner``: within another sentence, where a list needs brackets."""
        match condition:
            case All(all_=parts) | AnyOf(any_=parts):
                word = self.say("and", "et") if isinstance(condition, All) else self.say("or", "ou")
                text = self._joined([self.of(part, inner=True) for part in parts], word)
                return f"({text})" if inner and len(parts) > 1 else text
            case Not(not_=part):
                text = self.of(part)
                return self.say(f"it is not so that ({text})", f"il n'est pas vrai que ({text})")
            case PathsAre(root=paths):
                each = [self._compared(path, one) for path, one in paths.items()]
                return self._joined(each, self.say("and", "et"))
            case Did() | First() | Last() | Sum() | Max() | Opened() | Clicked():
                return self._done(condition)
            case _:
                return self._held(condition)

    def _joined(self, parts: Sequence[str], word: str) -> str:
        return f" {word} ".join(parts)

    # -- what is held ---------------------------------------------------------------------------

    def _held(self, node: Tagged | ScoreIs | InSegment | ConsentIs | TopicIs) -> str:
        match node:
            case Tagged(tag=tags):
                named = self._joined([self._quoted(tag) for tag in tags], self.say("or", "ou"))
                return self.say(
                    f"the contact is tagged {named}", f"le contact a l'étiquette {named}"
                )
            case ScoreIs(score=bounds):
                said = self._joined(self._bounds(bounds), self.say("and", "et"))
                return self.say(f"the score is {said}", f"le score est {said}")
            case InSegment(segment=name):
                return self.say(
                    f"the contact is in the segment {self._quoted(name)}",
                    f"le contact est dans le segment {self._quoted(name)}",
                )
            case ConsentIs(consent=channels):
                each = [self._consent(channel, state) for channel, state in channels.items()]
                return self._joined(each, self.say("and", "et"))
            case TopicIs(topic=topics):
                each = [self._topic(topic, state) for topic, state in topics.items()]
                return self._joined(each, self.say("and", "et"))

    def _consent(self, channel: str, state: str) -> str:
        names = {"email": "e-mail", "sms": "SMS", "tracking": self.say("tracking", "le suivi")}
        english, french = _STATES[state]
        return self.say(
            f"consent for {names[channel]} is {english}",
            f"le consentement pour {names[channel]} est {french}",
        )

    def _topic(self, topic: str, state: str) -> str:
        name = self._quoted(topic)
        if state == "subscribed":
            return self.say(f"the topic {name} is wanted", f"le thème {name} est souhaité")
        return self.say(f"the topic {name} was opted out of", f"le thème {name} a été refusé")

    # -- what was done --------------------------------------------------------------------------

    def _done(self, node: Did | First | Last | Sum | Max | Opened | Clicked) -> str:
        match node:
            case Did():
                about = self._where(node.where) + self._since(node.since)
                event, subject = self._event(node.did), self.say("the contact", "le contact")
                if node.times == Times(exactly=0):
                    return self.say(
                        f"the contact never {event}{about}",
                        f"le contact {event} 0 fois{about}",
                    )
                return f"{subject} {event} {self._often(node.times)}{about}"
            case First(first=name, at=at):
                said = self._dates(at)
                event = self._event(name)
                return self.say(
                    f"the first time the contact {event} was {said}",
                    f"la première fois que le contact {event} était {said}",
                )
            case Last(last=name, at=at):
                said = self._dates(at)
                event = self._event(name)
                return self.say(
                    f"the last time the contact {event} was {said}",
                    f"la dernière fois que le contact {event} était {said}",
                )
            case Sum() | Max():
                return self._total(node)
            case Opened(opened=times, of_last=last):
                return self._engaged(self.say("opened", "ouvert"), times, last)
            case Clicked(clicked=times, of_last=last):
                return self._engaged(self.say("clicked in", "cliqué"), times, last)

    def _total(self, node: Sum | Max) -> str:
        path = node.sum if isinstance(node, Sum) else node.max
        name = self._quoted(path.removeprefix("event."))
        said = self._joined(self._bounds(node), self.say("and", "et"))
        about = self._where(node.where) + self._since(node.since)
        event = self._event(node.of)
        if isinstance(node, Sum):
            return self.say(
                f"the sum of {name}, each time the contact {event}{about}, is {said}",
                f"la somme de {name}, chaque fois que le contact {event}{about}, est {said}",
            )
        return self.say(
            f"the largest {name}, of the times the contact {event}{about}, is {said}",
            f"le plus grand {name}, parmi les fois où le contact {event}{about}, est {said}",
        )

    def _engaged(self, did: str, times: Times, last: int) -> str:
        count = self._count(times)
        return self.say(
            f"the contact {did} {count} of the last {last} emails",
            f"le contact a {did} {count} des {last} derniers e-mails",
        )

    def _event(self, name: str) -> str:
        if name in _EVENTS:
            return self.say(*_EVENTS[name])
        shown = self._quoted(name.removeprefix("custom."))
        return self.say(f"did {shown}", f"a fait {shown}")

    def _count(self, times: Times) -> str:
        said: list[str] = []
        if times.exactly is not None:
            said.append(self.say(f"exactly {times.exactly}", f"exactement {times.exactly}"))
        if times.at_least is not None:
            said.append(self.say(f"at least {times.at_least}", f"au moins {times.at_least}"))
        if times.at_most is not None:
            said.append(self.say(f"at most {times.at_most}", f"au plus {times.at_most}"))
        return self._joined(said, self.say("and", "et"))

    def _often(self, times: Times) -> str:
        return f"{self._count(times)} {self.say('times', 'fois')}"

    def _where(self, where: Mapping[str, Comparison] | None) -> str:
        if not where:
            return ""
        each = [self._compared(path, one) for path, one in where.items()]
        return self.say(" where ", " où ") + self._joined(each, self.say("and", "et"))

    def _since(self, since: dt.timedelta | Literal["entry"] | None) -> str:
        if since is None:
            return ""
        if since == "entry":
            return self.say(" since the entry", " depuis l'entrée")
        span = self._span(since)
        return self.say(f" in the last {span}", f" depuis {span}")

    # -- values ---------------------------------------------------------------------------------

    def _compared(self, path: str, one: Comparison) -> str:
        return f"{self._path(path)} {self._joined(self._tests(one), self.say('and', 'et'))}"

    def _path(self, path: str) -> str:
        root, _, rest = path.partition(".")
        named = {
            "contact": ("the contact's", "du contact"),
            "event": ("the event's", "de l'événement"),
            "entry": ("the entry's", "de l'entrée"),
        }[root]
        return self.say(f"{named[0]} {self._quoted(rest)}", f"{self._quoted(rest)} {named[1]}")

    def _tests(self, one: Comparison) -> list[str]:
        given, said = one.model_fields_set, list[str]()
        if "exists" in given:
            there = self.say("is known", "est connu")
            said.append(there if one.exists else self.say("is not known", "n'est pas connu"))
        if "is_" in given:
            said.append(f"{self.say('is', 'est')} {self._value(one.is_)}")
        if "not_" in given:
            said.append(self.say("is not ", "n'est pas ") + self._value(one.not_))
        if "in_" in given:
            said.append(f"{self.say('is one of', 'est parmi')} {self._values(one.in_)}")
        if "not_in" in given:
            said.append(self.say("is none of ", "n'est pas parmi ") + self._values(one.not_in))
        if "contains" in given:
            said.append(f"{self.say('contains', 'contient')} {self._value(one.contains)}")
        if one.starts_with is not None:
            start = self._value(one.starts_with)
            said.append(f"{self.say('starts with', 'commence par')} {start}")
        said += [f"{self.say('is', 'est')} {bound}" for bound in self._bounds(one)]
        dates = self._dates(one)
        if dates:
            said.append(f"{self.say('is', 'est')} {dates}")
        if one.anniversary is not None:
            said.append(self._anniversary(one.anniversary))
        return said

    def _anniversary(self, within: int) -> str:
        if not within:
            return self.say("has its anniversary today", "a son anniversaire aujourd'hui")
        span = self._span(dt.timedelta(days=within))
        return self.say(f"has its anniversary within {span}", f"a son anniversaire d'ici {span}")

    def _bounds(self, bounds: Comparison | Sum | Max | ScoreBounds) -> list[str]:
        words = {
            "at_least": ("at least", "au moins"),
            "at_most": ("at most", "au plus"),
            "more_than": ("more than", "plus de"),
            "less_than": ("less than", "moins de"),
        }
        return [
            f"{self.say(*said)} {self._number(getattr(bounds, name))}"
            for name, said in words.items()
            if name in bounds.model_fields_set
        ]

    def _dates(self, dates: Occasion | Comparison) -> str:
        said: list[str] = []
        if dates.before is not None:
            said.append(self._bounded(dates.before, is_before=True))
        if dates.after is not None:
            said.append(self._bounded(dates.after, is_before=False))
        if dates.within_last is not None:
            span = self._span(dates.within_last)
            said.append(self.say(f"within the last {span}", f"dans les {span} passés"))
        if dates.within_next is not None:
            span = self._span(dates.within_next)
            said.append(self.say(f"within the next {span}", f"dans les {span} à venir"))
        return self._joined(said, self.say("and", "et"))

    def _bounded(self, moment: dt.datetime | dt.timedelta, *, is_before: bool) -> str:
        side = self.say("before", "avant") if is_before else self.say("after", "après")
        if isinstance(moment, dt.datetime):
            is_day = moment.time() == dt.time() and not moment.utcoffset()
            return f"{side} {moment.date().isoformat() if is_day else moment.isoformat()}"
        if not moment:
            return f"{side} {self.say('now', 'maintenant')}"
        span, is_past = self._span(abs(moment)), moment < dt.timedelta()
        more = is_past == is_before
        amount = self.say("more than", "plus de") if more else self.say("less than", "moins de")
        if is_past:
            return self.say(f"{amount} {span} ago", f"il y a {amount} {span}")
        return self.say(f"{amount} {span} from now", f"dans {amount} {span}")

    def _span(self, span: dt.timedelta) -> str:
        rest, said = int(span.total_seconds()), list[str]()
        for size, english, french in _UNITS:
            count, rest = divmod(rest, size)
            if count:
                unit = (french if self._french else english)[count > 1]
                said.append(f"{count} {unit}")
        return " ".join(said)

    def _value(self, value: Any) -> str:
        if isinstance(value, bool):
            return self.say("true", "vrai") if value else self.say("false", "faux")
        return self._quoted(value) if isinstance(value, str) else self._number(value)

    def _values(self, values: Sequence[Any]) -> str:
        return ", ".join(self._value(value) for value in values)

    def _number(self, value: Any) -> str:
        text = f"{value:g}" if isinstance(value, float) and value.is_integer() else str(value)
        return text.replace(".", ",") if self._french else text

    def _quoted(self, text: str) -> str:
        return self.say(f"“{text}”", f"« {text} »")
