"""``/p/{token}``: what a person receives, on a page that needs no script and no login.

The token says who; it came in a mail to that person. A change is a fact on ``events``, like every
change of a contact.
"""

import datetime as dt
import html
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from string import Template
from typing import Any, TypeAlias
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from chappe.broker import BrokerUnavailable
from chappe.clock import Clock
from chappe.events import ConsentState, Event, Identifier
from chappe.ids import ContactId, EventId, NewId, WorkspaceId, derived
from chappe.page import HEADERS, Look, button, form, language, paragraph
from chappe.page import page as whole_page
from chappe.tokens import Tokens
from chappe_sender.application.ports import Reads, TemplateShelf
from chappe_sender.domain import double_opt_in
from chappe_sender.domain.brand import Brand
from chappe_sender.domain.permission import Permission, hear

BODY_OCTETS_MAX = 16_384
AGENT_LETTERS_MAX = 500

Publish: TypeAlias = Callable[[Event], Awaitable[None]]
"""Durable on return. Raises ``BrokerUnavailable``."""

TEST = "test"
"""What stands for a token in the links of a test mail."""

_WORDS = {
    "en": {
        "title": "Your e-mail preferences",
        "ask_title": "Confirm your subscription",
        "ask": "Shall we send news and offers to $address?",
        "ask_more": "You can change your mind in every mail.",
        "confirm": "Yes, subscribe me",
        "thanks_title": "Thank you",
        "thanks": "$address is subscribed.",
        "for": "For $address.",
        "topics": "Write to me about",
        "save": "Save",
        "measure": "You may see whether I open your mails, to write to me better",
        "all": "Unsubscribe from everything",
        "still": "Mail about your orders and your account still reaches you.",
        "again": "Subscribe again",
        "begin": "Subscribe",
        "out": "You are unsubscribed: we send you no news and no offers.",
        "not_in": "You are not subscribed: we send you no news and no offers.",
        "saved": "Saved.",
        "unknown_title": "This link does not work",
        "unknown": "It is incomplete or no longer valid. Please open the one in your latest mail.",
        "expired_title": "This link has expired",
        "expired": "It worked for seven days. To subscribe, please sign up once more.",
        "test_title": "This was a test mail",
        "test": "In the mail itself this link leads to the reader's preferences.",
        "busy_title": "Please try again",
        "busy": "We could not save this just now. Please try again in a minute.",
    },
    "fr": {
        "title": "Vos préférences e-mail",
        "ask_title": "Confirmez votre inscription",
        "ask": "Pouvons-nous envoyer nos nouvelles et nos offres à $address ?",
        "ask_more": "Vous pourrez changer d'avis dans chaque e-mail.",
        "confirm": "Oui, je m'inscris",
        "thanks_title": "Merci",
        "thanks": "L'inscription de $address est confirmée.",
        "for": "Pour $address.",
        "topics": "Écrivez-moi à propos de",
        "save": "Enregistrer",
        "measure": "Vous pouvez savoir si j'ouvre vos e-mails, pour mieux m'écrire",
        "all": "Me désabonner de tout",
        "still": "Les e-mails sur vos commandes et votre compte vous parviendront toujours.",
        "again": "M'abonner de nouveau",
        "begin": "M'abonner",
        "out": "Vous êtes désabonné : nous ne vous envoyons ni nouvelles ni offres.",
        "not_in": "Vous n'êtes pas abonné : nous ne vous envoyons ni nouvelles ni offres.",
        "saved": "C'est enregistré.",
        "unknown_title": "Ce lien ne fonctionne pas",
        "unknown": "Il est incomplet ou n'est plus valable. Ouvrez celui de votre dernier e-mail.",
        "expired_title": "Ce lien a expiré",
        "expired": "Il a fonctionné pendant sept jours. Pour vous abonner, réinscrivez-vous.",
        "test_title": "C'était un e-mail de test",
        "test": "Dans le vrai e-mail, ce lien mène aux préférences du destinataire.",
        "busy_title": "Veuillez réessayer",
        "busy": "Impossible d'enregistrer pour l'instant. Réessayez dans une minute.",
    },
}
_EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class _Person:
    workspace: WorkspaceId
    contact: ContactId
    address: str
    message: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """What the page needs."""

    tokens: Tokens
    shelf: TemplateShelf
    reads: Reads
    publish: Publish
    clock: Clock
    wall: Clock
    new_id: NewId


def router(page: Preferences) -> APIRouter:
    routes = APIRouter()

    @routes.get("/p/{token}", response_class=HTMLResponse, include_in_schema=False)
    async def show(token: str, request: Request) -> HTMLResponse:
        """Reading changes nothing: scanners follow every link."""
        words = _words(request)
        person = _person(page.tokens, token)
        if person is None:
            asked = _asked(page, token)
            if not isinstance(asked, _Person):
                return _nobody(words, asked)
            look = await _look(page, asked.workspace)
            return _answer(words, _question(words, asked), title="ask_title", look=look)
        permission = await page.reads.permission(person.workspace, person.contact)
        brand = await page.shelf.brand(person.workspace)
        topics = await page.shelf.topics(person.workspace)
        body = _form(words, person, permission, topics, brand)
        return _answer(words, body, look=brand.look)

    @routes.post("/p/{token}", response_class=HTMLResponse, include_in_schema=False)
    async def save(token: str, request: Request) -> HTMLResponse:
        """Publish what changed; the page shows what will be."""
        words = _words(request)
        person = _person(page.tokens, token)
        if person is None:
            who = _asked(page, token)
            if not isinstance(who, _Person):
                return _nobody(words, who)
            return await _confirm(page, words, request, who)
        asked = parse_qs(await _body(request), max_num_fields=300)
        permission = await page.reads.permission(person.workspace, person.contact)
        brand = await page.shelf.brand(person.workspace)
        topics = await page.shelf.topics(person.workspace)
        event, after = _change(page, person, permission, topics, asked)
        try:
            await page.publish(event)
        except BrokerUnavailable:
            return _busy(words, brand.look)
        body = paragraph(words["saved"], "note") + _form(words, person, after, topics, brand)
        return _answer(words, body, look=brand.look)

    _ = (show, save)
    return routes


def _asked(page: Preferences, token: str) -> _Person | str:
    """Who a double opt-in asked, for seven days; else what to say."""
    match page.tokens.open("confirm", token):
        case [str(workspace), str(contact), str(address), str(message), int(issued)]:
            until = dt.datetime.fromtimestamp(issued, dt.UTC) + double_opt_in.VALID
            if page.wall.now() > until:
                return _EXPIRED
            return _Person(WorkspaceId(workspace), ContactId(contact), address, message)
        case _:
            return "test" if token == TEST else "unknown"


def _nobody(words: dict[str, str], what: str) -> HTMLResponse:
    return _answer(words, paragraph(words[what]), 404, title=f"{what}_title")


def _busy(words: dict[str, str], look: Look) -> HTMLResponse:
    answer = _answer(words, paragraph(words["busy"]), 503, title="busy_title", look=look)
    answer.headers["Retry-After"] = "60"
    return answer


async def _look(page: Preferences, workspace: WorkspaceId) -> Look:
    return (await page.shelf.brand(workspace)).look


def _question(words: dict[str, str], person: _Person) -> str:
    text = Template(words["ask"]).substitute(address=person.address)
    return (
        paragraph(text)
        + paragraph(words["ask_more"], "soft")
        + form(button(words["confirm"], do="confirm"))
    )


async def _confirm(
    page: Preferences, words: dict[str, str], request: Request, person: _Person
) -> HTMLResponse:
    """Only by POST. The event is the proof: who, which mail asked, when, and with what.

    Its id derives from the mail, so that a second press says nothing new.
    """
    now = page.clock.now()
    event = Event(
        id=EventId(derived("ev_", "confirm", person.workspace, person.message or "")),
        name="contact.consent_changed",
        workspace=person.workspace,
        source_event=double_opt_in.NAME,
        occurred_at=now,
        received_at=now,
        contact=person.contact,
        identifiers=(Identifier("email", person.address),),
        traits={"consent": {"email": ConsentState.SUBSCRIBED.value}},
        data={
            "address": person.address,
            "message": person.message,
            "proof": {
                "method": double_opt_in.NAME,
                "confirmed_at": page.wall.now().isoformat(),
                "user_agent": request.headers.get("user-agent", "")[:AGENT_LETTERS_MAX],
            },
        },
    )
    look = await _look(page, person.workspace)
    try:
        await page.publish(event)
    except BrokerUnavailable:
        return _busy(words, look)
    said = Template(words["thanks"]).substitute(address=person.address)
    return _answer(words, paragraph(said, "note"), title="thanks_title", look=look)


async def _body(request: Request) -> str:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_OCTETS_MAX:
            return ""
    return body.decode("utf-8", "replace")


def _person(tokens: Tokens, token: str) -> _Person | None:
    match tokens.open("preferences", token):
        case [str(workspace), str(contact), str(address), message, _]:
            return _Person(
                WorkspaceId(workspace),
                ContactId(contact),
                address,
                message if isinstance(message, str) else None,
            )
        case _:
            return None


def _change(
    page: Preferences,
    person: _Person,
    held: Permission,
    topics: list[str],
    asked: dict[str, list[str]],
) -> tuple[Event, Permission]:
    """The fact to publish, and what will be held once it is applied."""
    now = page.clock.now()
    name = "contact.consent_changed"
    traits: dict[str, Any] = {}
    match asked.get("do", [""])[0]:
        case "unsubscribe":
            name = "email.unsubscribed"
        case "subscribe":
            traits = {"consent": {"email": ConsentState.SUBSCRIBED.value}}
        case _:
            kept = set(asked.get("topic", []))
            states = {
                topic: (
                    ConsentState.SUBSCRIBED if topic in kept else ConsentState.UNSUBSCRIBED
                ).value
                for topic in topics
            }
            traits = {"consent": {"topics": states, **_measured(held, asked)}}
    event = Event(
        id=EventId(page.new_id("ev_")),
        name=name,
        workspace=person.workspace,
        source_event="preferences",
        occurred_at=now,
        received_at=now,
        contact=person.contact,
        identifiers=(Identifier("email", person.address),),
        traits=traits,
        data={"address": person.address, "message": person.message, "topic": None},
    )
    return event, hear(held, event).permission


def _measured(held: Permission, asked: dict[str, list[str]]) -> dict[str, str]:
    """What the box says, where it is new: whoever saves the page with an empty one says no."""
    state = ConsentState.SUBSCRIBED if "measure" in asked else ConsentState.UNSUBSCRIBED
    if held.tracking is not None and held.tracking.state is state:
        return {}
    return {"tracking": state.value}


def _form(
    words: dict[str, str], person: _Person, held: Permission, topics: list[str], brand: Brand
) -> str:
    """What is received now, with a box each; or that nothing is, and the way back."""
    whom = paragraph(Template(words["for"]).substitute(address=person.address), "soft")
    state = held.consent.state if held.consent is not None else None
    if state is not ConsentState.SUBSCRIBED:
        left = state is ConsentState.UNSUBSCRIBED
        said, label = ("out", "again") if left else ("not_in", "begin")
        return whom + paragraph(words[said]) + form(button(words[label], do="subscribe"))
    boxes = "".join(_box(topic, held, brand.topic_title(topic, words["lang"])) for topic in topics)
    leave = form(
        button(words["all"], do="unsubscribe", main=False) + paragraph(words["still"], "soft after")
    )
    chosen = _measure_box(held, words)
    if boxes:
        legend = html.escape(words["topics"])
        chosen = f"<fieldset><legend>{legend}</legend>\n{boxes}</fieldset>\n{chosen}"
    return whom + form(chosen + button(words["save"], do="save")) + leave


def _box(topic: str, held: Permission, title: str) -> str:
    checked = "" if topic in held.topics_out else " checked"
    return (
        f'<label><input type="checkbox" name="topic" value="{html.escape(topic)}"{checked}>'
        f"<span>{html.escape(title)}</span></label>\n"
    )


def _measure_box(held: Permission, words: dict[str, str]) -> str:
    agreed = held.tracking is not None and held.tracking.state is ConsentState.SUBSCRIBED
    checked = " checked" if agreed else ""
    return (
        f'<label><input type="checkbox" name="measure"{checked}>'
        f"<span>{html.escape(words['measure'])}</span></label>\n"
    )


def _words(request: Request) -> dict[str, str]:
    lang = language(request.headers.get("accept-language", ""), _WORDS)
    return {"lang": lang, **_WORDS[lang]}


def _answer(
    words: dict[str, str],
    body: str,
    status: int = 200,
    *,
    title: str = "title",
    look: Look | None = None,
) -> HTMLResponse:
    return HTMLResponse(
        whole_page(words["lang"], words[title], body, look), status, headers=HEADERS
    )
