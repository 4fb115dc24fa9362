"""Which links of a payload may end up in a mail: https, to a host the shop owns.

A forged or careless payload must not send our readers elsewhere.
"""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from chappe_ingest.domain.reading import Reader

URL_MAX_CHARS = 2_000
_UNSAFE = re.compile(r"[\s\x00-\x1f\x7f\\\"<>]")
_LOOKS_LIKE_A_LINK = re.compile(
    r"\s*(?:[a-z][a-z0-9+.-]{1,20}:)?//|\s*(?:javascript|data|vbscript):", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Links:
    """A source's own hosts and its vendor's. ``keep`` only warns: ``sources try`` uses it."""

    domains: frozenset[str] = frozenset()
    vendor: tuple[str, ...] = ()
    keep: bool = False

    def take(self, reader: Reader, *names: str) -> str | None:
        """The link in the first of ``names``, or None with a warning that says what to do."""
        for name in names:
            value = reader.fields.get(name)
            if isinstance(value, str) and value.strip():
                return self.checked(value.strip(), reader, name)
            if value not in (None, ""):
                reader.warn(name, "a link", value)
        return None

    def checked(self, url: str, reader: Reader, name: str) -> str | None:
        host = _https_host(url)
        if host is None:
            reader.note(name, "not an https link, dropped")
            return None
        if self.owns(host):
            return url
        advice = f"add it with --domain {host}"
        if self.keep:
            reader.note(name, f"the host {host} is not one of the source's domains: {advice}")
            return url
        reader.note(name, f"dropped, the host {host} is not one of the source's domains: {advice}")
        return None

    def owns(self, host: str) -> bool:
        """Whether it is one of these hosts, or below one."""
        owned = (*self.domains, *self.vendor)
        return any(host == each or host.endswith(f".{each}") for each in owned)


def looks_like_a_link(text: str) -> bool:
    return _LOOKS_LIKE_A_LINK.match(text) is not None


def _https_host(url: str) -> str | None:
    if len(url) > URL_MAX_CHARS or _UNSAFE.search(url):
        return None
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return None
    if parts.scheme != "https" or not host or parts.username is not None:
        return None
    return host.lower()
