"""Did a person do this? Only rules that are certain say ``machine``.

A wrong ``machine`` costs a customer an automation, so whatever no rule names is human.

| what touched us | open | click |
|---|---|---|
| HEAD or any method but GET and POST | machine | machine |
| no user agent | machine | machine |
| a declared robot, a mail scanner, a link previewer | machine | machine |
| exactly ``Mozilla/5.0`` (Apple's privacy proxy, read or not) | machine | human |
| an HTTP library | unsure | unsure |
| Gmail's or Yahoo's image proxy (fetches when the mail is viewed) | human | human |
"""

from enum import StrEnum

from chappe.events import RawEngagement


class Verdict(StrEnum):
    """Who touched a link or a pixel. ``unsure`` may trigger a journey; ``machine`` never does."""

    HUMAN = "human"
    UNSURE = "unsure"
    MACHINE = "machine"


OPEN = "open"
CLICK = "click"
KINDS = (OPEN, CLICK)

APPLE_PRIVACY_PROXY = "mozilla/5.0"
"""The whole user agent of Mail Privacy Protection, which fetches every image at delivery."""

VIEWERS_PROXIES = ("googleimageproxy", "yahoomailproxy")

MACHINES = (
    "bot/",
    "bot;",
    "bot)",
    "robot",
    "crawler",
    "spider",
    "barracuda",
    "proofpoint",
    "mimecast",
    "messagelabs",
    "trendmicro",
    "tmes",
    "fireeye",
    "cloudmark",
    "safelinks",
    "linkexpanding",
    "facebookexternalhit",
    "bingpreview",
    "skypeuripreview",
    "headlesschrome",
    "phantomjs",
    "urlscan",
    "virustotal",
)

LIBRARIES = (
    "curl/",
    "wget/",
    "python",
    "go-http-client",
    "java/",
    "okhttp",
    "apache-httpclient",
    "axios",
    "node",
    "libwww",
    "aiohttp",
)


def judge(touch: RawEngagement) -> Verdict:
    """The verdict on one open or click."""
    agent = (touch.user_agent or "").strip().lower()
    if touch.method not in ("GET", "POST") or not agent:
        return Verdict.MACHINE
    if touch.kind == OPEN and agent == APPLE_PRIVACY_PROXY:
        return Verdict.MACHINE
    if any(name in agent for name in VIEWERS_PROXIES):
        return Verdict.HUMAN
    if agent.endswith("bot") or any(name in agent for name in MACHINES):
        return Verdict.MACHINE
    if agent.startswith(LIBRARIES):
        return Verdict.UNSURE
    return Verdict.HUMAN
