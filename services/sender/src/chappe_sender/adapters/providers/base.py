"""What every provider's adapter is, and it is pure: drafts in, one request out; an answer in,
verdicts out.
"""

import base64
import datetime as dt
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeAlias, cast

import msgspec
from typing_extensions import override

from chappe.http import OutboundAnswer
from chappe_sender.domain.addresses import Mailbox
from chappe_sender.domain.envelope import Envelope
from chappe_sender.domain.headers import one_line
from chappe_sender.domain.mime import SUBJECT_LETTERS_MAX, Mail, service_headers
from chappe_sender.domain.outcome import HandOverError, Taken
from chappe_sender.domain.providers import Kind
from chappe_sender.domain.providers.answers import Answers, wait_of

MESSAGE_TAG = "chappe-message"
"""Under which our own id travels with a provider; its webhooks give it back."""

Verdict: TypeAlias = Taken | HandOverError
Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Draft:
    """One message as a provider may want it: whole, or in parts."""

    message: str
    envelope: Envelope
    mail: Mail
    header_id: str


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP POST. ``repr`` shows neither credentials nor content."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Account:
    """Whose provider it is. ``repr`` never shows the secrets."""

    kind: Kind
    base_url: str
    secrets: Mapping[str, str] = field(repr=False)
    options: Mapping[str, str]


class Adapter(Protocol):
    """One provider. The same drafts always give the same ``body``."""

    account: Account

    def body(self, drafts: Sequence[Draft]) -> bytes:
        """What is sent, without what an idempotency key or a signature adds."""
        ...

    def request(self, drafts: Sequence[Draft], key: str | None, now: dt.datetime) -> Request:
        """The whole request; ``now`` is the wall clock."""
        ...

    def verdicts(self, answer: OutboundAnswer, drafts: Sequence[Draft]) -> list[Verdict]:
        """One for each draft, in order."""
        ...

    def pause(self, answer: OutboundAnswer, now: dt.datetime) -> float | None:
        """Seconds to wait before the next request, when the answer says so."""
        ...


class HttpAdapter(ABC):
    """An adapter whose answers are JSON, by a table of what proves that nothing was accepted."""

    path: ClassVar[str]
    answers: ClassVar[Answers]

    def __init__(self, account: Account) -> None:
        self.account = account

    @abstractmethod
    def body(self, drafts: Sequence[Draft]) -> bytes: ...

    @abstractmethod
    def request(self, drafts: Sequence[Draft], key: str | None, now: dt.datetime) -> Request: ...

    @abstractmethod
    def taken(self, found: Any, answer: OutboundAnswer, drafts: Sequence[Draft]) -> list[Verdict]:
        """Of an answer that is a success as a whole."""
        ...

    @abstractmethod
    def error(self, found: Any, answer: OutboundAnswer) -> tuple[str, str]:
        """The provider's code and words."""
        ...

    def verdicts(self, answer: OutboundAnswer, drafts: Sequence[Draft]) -> list[Verdict]:
        found = parsed(answer.body)
        if is_success(answer.status):
            return self.taken(found, answer, drafts)
        code, words = self.error(found, answer)
        return [self.answers.verdict(answer.status, code, words)] * len(drafts)

    def pause(self, answer: OutboundAnswer, now: dt.datetime) -> float | None:
        return wait_of(answer.headers, now, status=answer.status)


class JsonAdapter(HttpAdapter):
    """One that is asked in JSON as well: what most of them share."""

    @abstractmethod
    def payload(self, drafts: Sequence[Draft]) -> Any: ...

    @abstractmethod
    def credentials(self) -> dict[str, str]: ...

    @override
    def body(self, drafts: Sequence[Draft]) -> bytes:
        return encode(self.payload(drafts))

    def headers(self) -> dict[str, str]:
        return {"Content-Type": "application/json", "Accept": "application/json"} | (
            self.credentials()
        )

    @override
    def request(self, drafts: Sequence[Draft], key: str | None, now: dt.datetime) -> Request:
        del key, now
        return Request(self.account.base_url + self.path, self.headers(), self.body(drafts))


def is_success(status: int) -> bool:
    return status // 100 == 2  # noqa: PLR2004 - HTTP's class of success


def encode(value: Any) -> bytes:
    """JSON, the same for the same value. Lone surrogates become question marks."""
    try:
        return msgspec.json.encode(value, order="deterministic")
    except (UnicodeEncodeError, msgspec.MsgspecError):
        text = json.dumps(value, ensure_ascii=False, sort_keys=True)
        return text.encode("utf-8", "replace")


def parsed(body: bytes) -> Any:
    """The JSON value, or None."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def at(value: Any, *path: str | int) -> Any:
    """What stands at ``path``, or None."""
    for key in path:
        if isinstance(value, dict) and isinstance(key, str):
            value = cast("Json", value).get(key)
        elif isinstance(value, list) and isinstance(key, int):
            items = cast("list[Any]", value)
            value = items[key] if 0 <= key < len(items) else None
        else:
            return None
    return value


def items(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def word(value: Any, *path: str | int) -> str:
    """The text or number at ``path``, else nothing."""
    found = at(value, *path)
    if isinstance(found, str):
        return found
    return str(found) if isinstance(found, int | float) and not isinstance(found, bool) else ""


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def subject_of(draft: Draft) -> str:
    return one_line(draft.mail.subject, SUBJECT_LETTERS_MAX)


def name_of(mailbox: Mailbox) -> str:
    return one_line(mailbox.name, 200)


def own_headers(draft: Draft) -> dict[str, str]:
    """Our header lines beside those that have a field of their own, Message-ID excepted."""
    return dict(service_headers(draft.mail))


def text_of(draft: Draft) -> str:
    return draft.mail.text or " "
