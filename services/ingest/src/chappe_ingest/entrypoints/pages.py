"""The few pages a mail reader may see: small, in English or French, without a script."""

from typing import Final

from chappe import page
from chappe_ingest.entrypoints.asgi import Reply, Request

_HEADERS: Final = (
    (b"content-type", b"text/html; charset=utf-8"),
    *((name.lower().encode(), value.encode()) for name, value in page.HEADERS.items()),
)

_WORDS: Final = {
    "en": {
        "ask_title": "Unsubscribe?",
        "ask_title_of": "Unsubscribe from {brand}?",
        "ask": "We will send no more news and offers to {address}.",
        "still": "Mail about your orders and your account still reaches you.",
        "button": "Unsubscribe",
        "choose": "Choose what you receive instead",
        "done_title": "You are unsubscribed",
        "done": "{address} will not get news and offers from us any more.",
        "back": "Changed your mind? Choose what you receive",
        "gone_title": "This link does not work",
        "gone": "It is incomplete or no longer valid. Please open it from the mail again.",
        "test_title": "This was a test mail",
        "test": "In the mail itself this link leads to the page to unsubscribe. Nothing changed.",
        "later_title": "Please try again",
        "later": "We could not store your choice just now. Please try again in a minute.",
    },
    "fr": {
        "ask_title": "Se désabonner ?",
        "ask_title_of": "Vous désabonner de {brand} ?",
        "ask": "Nous n'enverrons plus de nouvelles ni d'offres à {address}.",
        "still": "Les e-mails sur vos commandes et votre compte vous parviendront toujours.",
        "button": "Me désabonner",
        "choose": "Choisir plutôt ce que je reçois",
        "done_title": "C'est fait : vous êtes désabonné",
        "done": "{address} ne recevra plus de nouvelles ni d'offres de notre part.",
        "back": "Un regret ? Choisissez ce que vous recevez",
        "gone_title": "Ce lien ne fonctionne pas",
        "gone": "Il est incomplet ou n'est plus valable. Ouvrez-le à nouveau depuis l'e-mail.",
        "test_title": "C'était un e-mail de test",
        "test": "Dans le vrai e-mail, ce lien mène à la page de désabonnement. Rien n'a changé.",
        "later_title": "Veuillez réessayer",
        "later": "Votre choix n'a pas pu être enregistré. Réessayez dans une minute.",
    },
}


def ask(request: Request, address: str, look: page.Look, preferences: str) -> Reply:
    """The question; the answer is a POST to the same address. ``preferences``: where else to go."""
    lang, words = _words(request)
    title = words["ask_title_of"].format(brand=look.name) if look.name else words["ask_title"]
    body = (
        page.paragraph(words["ask"].format(address=address))
        + page.paragraph(words["still"], "soft")
        + page.form(page.button(words["button"]))
        + page.link(preferences, words["choose"])
    )
    return _reply(200, page.page(lang, title, body, look))


def done(request: Request, address: str, look: page.Look, preferences: str) -> Reply:
    lang, words = _words(request)
    body = page.paragraph(words["done"].format(address=address), "note") + page.link(
        preferences, words["back"]
    )
    return _reply(200, page.page(lang, words["done_title"], body, look))


def gone(request: Request) -> Reply:
    return _plain(request, 404, "gone")


def test(request: Request) -> Reply:
    """For whoever tries the links of a test mail."""
    return _plain(request, 404, "test")


def later(request: Request) -> Reply:
    reply = _plain(request, 503, "later")
    return Reply(503, reply.body, (*reply.headers, (b"retry-after", b"60")))


def _plain(request: Request, status: int, what: str) -> Reply:
    lang, words = _words(request)
    return _reply(status, page.page(lang, words[f"{what}_title"], page.paragraph(words[what])))


def _words(request: Request) -> tuple[str, dict[str, str]]:
    lang = page.language(request.header("accept-language"), _WORDS)
    return lang, _WORDS[lang]


def _reply(status: int, text: str) -> Reply:
    return Reply(status, text.encode(), _HEADERS)
