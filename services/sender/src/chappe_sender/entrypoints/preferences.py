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
from chappe.tokens import Tokens
from chappe_sender.application.ports import Reads, TemplateShelf
from chappe_sender.domain import double_opt_in
from chappe_sender.domain.permission import Permission, hear

BODY_OCTETS_MAX = 16_384
AGENT_LETTERS_MAX = 500

Publish: TypeAlias = Callable[[Event], Awaitable[None]]
"""Durable on return. Raises ``BrokerUnavailable``."""

_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
}

_WORDS = {
    "en": {
        "title": "Your e-mail preferences",
        "ask_title": "Confirm your subscription",
        "ask": "Shall we send mail to $address?",
        "confirm": "Yes, subscribe me",
        "thanks": "Thank you: you are subscribed.",
        "for": "For $address.",
        "topics": "Receive mail about:",
        "save": "Save",
        "all": "Unsubscribe from everything",
        "again": "Subscribe again",
        "out": "You are unsubscribed: you receive no marketing mail from us.",
        "saved": "Saved.",
        "unknown": "This link is not valid. Use the one in your latest mail.",
        "busy": "We could not save this just now. Please try again in a minute.",
    },
    "fr": {
        "title": "Vos préférences e-mail",
        "ask_title": "Confirmez votre inscription",
        "ask": "Pouvons-nous écrire à $address ?",
        "confirm": "Oui, je m'inscris",
        "thanks": "Merci : votre inscription est confirmée.",
        "for": "Pour $address.",
        "topics": "Recevoir des e-mails sur :",
        "save": "Enregistrer",
        "all": "Me désabonner de tout",
        "again": "M'abonner de nouveau",
        "out": "Vous êtes désabonné : vous ne recevez plus d'e-mails marketing de notre part.",
        "saved": "C'est enregistré.",
        "unknown": "Ce lien n'est pas valable. Utilisez celui de votre dernier e-mail.",
        "busy": "Impossible d'enregistrer pour l'instant. Réessayez dans une minute.",
    },
}

_PAGE = Template(
    """<!doctype html><html lang="$lang"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>$title</title><style>
body{font:16px/1.5 system-ui,sans-serif;color:#1c2430;background:#f4f5f7;margin:0}
main{max-width:32rem;margin:8vh auto;padding:2rem;background:#fff;border-radius:12px}
h1{font-size:1.4rem;margin-top:0}label{display:block;padding:.4rem 0}
button{font:inherit;padding:.6rem 1.1rem;border-radius:8px;border:1px solid;
margin:.6rem .6rem 0 0;cursor:pointer;background:#fff;color:#1c2430}
button.main{background:#1c2430;color:#fff}
.note{background:#e8f3ec;padding:.6rem 1rem;border-radius:8px}
</style></head><body><main><h1>$title</h1>$body</main></body></html>"""
)


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
        if person is None and (asked := _asked(page, token)) is not None:
            return _answer(words, _question(words, asked), title="ask_title")
        if person is None:
            return _answer(words, _paragraph(words["unknown"]), 404)
        permission = await page.reads.permission(person.workspace, person.contact)
        topics = await page.shelf.topics(person.workspace)
        return _answer(words, _form(words, person, permission, topics))

    @routes.post("/p/{token}", response_class=HTMLResponse, include_in_schema=False)
    async def save(token: str, request: Request) -> HTMLResponse:
        """Publish what changed; the page shows what will be."""
        words = _words(request)
        person = _person(page.tokens, token)
        if person is None and (who := _asked(page, token)) is not None:
            return await _confirm(page, words, request, who)
        if person is None:
            return _answer(words, _paragraph(words["unknown"]), 404)
        asked = parse_qs(await _body(request), max_num_fields=300)
        permission = await page.reads.permission(person.workspace, person.contact)
        topics = await page.shelf.topics(person.workspace)
        event, after = _change(page, person, permission, topics, asked)
        try:
            await page.publish(event)
        except BrokerUnavailable:
            return _answer(words, _paragraph(words["busy"]), 503)
        note = f'<p class="note" role="status">{html.escape(words["saved"])}</p>'
        return _answer(words, note + _form(words, person, after, topics))

    _ = (show, save)
    return routes


def _asked(page: Preferences, token: str) -> _Person | None:
    """Who a double opt-in asked, for seven days."""
    match page.tokens.open("confirm", token):
        case [str(workspace), str(contact), str(address), str(message), int(issued)]:
            until = dt.datetime.fromtimestamp(issued, dt.UTC) + double_opt_in.VALID
            if page.wall.now() > until:
                return None
            return _Person(WorkspaceId(workspace), ContactId(contact), address, message)
        case _:
            return None


def _question(words: dict[str, str], person: _Person) -> str:
    text = Template(words["ask"]).substitute(address=person.address)
    return _paragraph(text) + _post(_button("confirm", words["confirm"], main=True))


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
    try:
        await page.publish(event)
    except BrokerUnavailable:
        return _answer(words, _paragraph(words["busy"]), 503)
    note = f'<p class="note" role="status">{html.escape(words["thanks"])}</p>'
    return _answer(words, note, title="ask_title")


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
            traits = {"consent": {"topics": states}}
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


def _form(words: dict[str, str], person: _Person, held: Permission, topics: list[str]) -> str:
    whom = Template(words["for"]).substitute(address=person.address)
    parts = [_paragraph(whom)]
    if held.consent is not None and held.consent.state is ConsentState.UNSUBSCRIBED:
        parts.append(_paragraph(words["out"]))
        return "".join(parts) + _post(_button("subscribe", words["again"], main=True))
    boxes = "".join(
        f'<label><input type="checkbox" name="topic" value="{html.escape(topic)}"'
        f"{'' if topic in held.topics_out else ' checked'}> {html.escape(topic)}</label>"
        for topic in topics
    )
    if boxes:
        parts.append(
            _post(_paragraph(words["topics"]) + boxes + _button("save", words["save"], main=True))
        )
    parts.append(_post(_button("unsubscribe", words["all"], main=False)))
    return "".join(parts)


def _post(body: str) -> str:
    return f'<form method="post">{body}</form>'


def _button(do: str, label: str, *, main: bool) -> str:
    kind = ' class="main"' if main else ""
    return f'<button name="do" value="{do}"{kind}>{html.escape(label)}</button>'


def _paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def _words(request: Request) -> dict[str, str]:
    asked = request.headers.get("accept-language", "").lower()
    lang = "fr" if asked.startswith("fr") else "en"
    return {"lang": lang, **_WORDS[lang]}


def _answer(
    words: dict[str, str], body: str, status: int = 200, *, title: str = "title"
) -> HTMLResponse:
    page = _PAGE.substitute(lang=words["lang"], title=html.escape(words[title]), body=body)
    return HTMLResponse(page, status, headers=_HEADERS)
