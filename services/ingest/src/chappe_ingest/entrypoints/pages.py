"""The few pages a mail reader may see: small, in English or French, without a script."""

import html
from typing import Final

from chappe_ingest.entrypoints.asgi import Reply, Request

_HEADERS: Final = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-robots-tag", b"noindex"),
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
    ),
)

_WORDS: Final = {
    "en": {
        "ask_title": "Unsubscribe",
        "ask": "Stop sending mails to {address}?",
        "button": "Unsubscribe",
        "done_title": "You are unsubscribed",
        "done": "{address} will not get these mails any more.",
        "gone_title": "This link does not work",
        "gone": "It is incomplete or no longer valid. Please open it from the mail again.",
        "later_title": "Please try again",
        "later": "We could not store your choice just now. Please try again in a minute.",
    },
    "fr": {
        "ask_title": "Se désabonner",
        "ask": "Ne plus envoyer d'e-mails à {address} ?",
        "button": "Me désabonner",
        "done_title": "Vous êtes désabonné",
        "done": "{address} ne recevra plus ces e-mails.",
        "gone_title": "Ce lien ne fonctionne pas",
        "gone": "Il est incomplet ou n'est plus valable. Ouvrez-le à nouveau depuis l'e-mail.",
        "later_title": "Veuillez réessayer",
        "later": "Votre choix n'a pas pu être enregistré. Réessayez dans une minute.",
    },
}

_PAGE: Final = """<!doctype html>
<html lang="{lang}">
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem}}
button{{font:inherit;padding:.5rem 1.2rem}}</style>
<h1>{title}</h1>
<p>{text}</p>
{form}</html>
"""
_FORM: Final = '<form method="post"><button type="submit">{button}</button></form>\n'


def ask(request: Request, address: str) -> Reply:
    """The question; the answer is a POST to the same address."""
    return _page(request, 200, "ask", address, form=True)


def done(request: Request, address: str) -> Reply:
    return _page(request, 200, "done", address)


def gone(request: Request) -> Reply:
    return _page(request, 404, "gone")


def later(request: Request) -> Reply:
    reply = _page(request, 503, "later")
    return Reply(503, reply.body, (*reply.headers, (b"retry-after", b"60")))


def _page(
    request: Request, status: int, what: str, address: str = "", *, form: bool = False
) -> Reply:
    lang = "fr" if _prefers_french(request.header("accept-language")) else "en"
    words = _WORDS[lang]
    text = words[what].format(address=html.escape(address))
    button = _FORM.format(button=words["button"]) if form else ""
    page = _PAGE.format(lang=lang, title=words[f"{what}_title"], text=text, form=button)
    return Reply(status, page.encode(), _HEADERS)


def _prefers_french(accepted: str) -> bool:
    """The first language of the two that the browser names."""
    for each in accepted.lower().split(","):
        language = each.partition(";")[0].strip()[:2]
        if language in _WORDS:
            return language == "fr"
    return False
