"""Ask a server, with a token; its problems become ours.

ApiError
├── Unreachable   nobody answered
└── Refused       it answered, with a problem (RFC 9457)
"""

from collections.abc import Generator, Mapping
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec

from chappe.clock import monotonic

SECONDS_MAX = 30.0
STREAM_SECONDS_MAX = 60.0
"""A stream that sends not even a heartbeat for so long is gone."""
LIVE = "/api/v1/live"
PAGE = 500


class ApiError(Exception):
    """The message is a sentence for a person."""


class Unreachable(ApiError):
    pass


class Refused(ApiError):
    """``status`` is HTTP's, ``errors`` are what is wrong and where."""

    def __init__(self, status: int, detail: str, errors: list[dict[str, str]]) -> None:
        super().__init__(detail)
        self.status = status
        self.errors = errors


class Api:
    """One server. Answers are parsed JSON; None for an empty one."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        seconds_max: float = SECONDS_MAX,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._client = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=seconds_max,
            transport=transport,
            trust_env=False,
        )

    def get(self, path: str, **params: Any) -> Any:
        given = {name: value for name, value in params.items() if value is not None}
        return self._ask("GET", path, params=given)

    def get_bytes(self, path: str) -> bytes:
        """What is no JSON."""
        return self._answer("GET", path).content

    def post(self, path: str, body: Any = None) -> Any:
        return self._ask("POST", path, json=body)

    def post_csv(self, path: str, content: bytes, **params: Any) -> Any:
        """A table in UTF-8."""
        given = {name: value for name, value in params.items() if value is not None}
        head = {"Content-Type": "text/csv; charset=utf-8"}
        return self._ask("POST", path, content=content, params=given, headers=head)

    def put(self, path: str, body: Any) -> Any:
        return self._ask("PUT", path, json=body)

    def patch(self, path: str, body: Any) -> Any:
        return self._ask("PATCH", path, json=body)

    def delete(self, path: str, body: Any = None) -> Any:
        return self._ask("DELETE", path, json=body)

    def every(self, path: str, **params: Any) -> Generator[Any]:
        """All items of a list, page by page."""
        cursor: str | None = None
        while True:
            page = self.get(path, limit=PAGE, cursor=cursor, **params)
            yield from page["items"]
            cursor = page.get("next")
            if cursor is None:
                return

    def events(
        self, *, start: str = "now", idle_seconds: float | None = None
    ) -> Generator[dict[str, Any]]:
        """Canonical events as they come; ends after ``idle_seconds`` without one."""
        heard = monotonic()
        timeout = httpx.Timeout(SECONDS_MAX, read=idle_seconds or STREAM_SECONDS_MAX)
        params = {"raw": "events", "from": start}
        try:
            with self._client.stream("GET", LIVE, params=params, timeout=timeout) as response:
                if response.status_code >= httpx.codes.BAD_REQUEST:
                    response.read()
                    raise _refused(response)
                for line in response.iter_lines():
                    if line.startswith("data: "):
                        heard = monotonic()
                        yield msgspec.json.decode(line[6:], type=dict[str, Any])
                    elif idle_seconds is not None and monotonic() - heard >= idle_seconds:
                        return
        except httpx.ReadTimeout as error:
            if idle_seconds is None:
                raise Unreachable(f"{self.url} fell silent") from error
        except httpx.HTTPError as error:
            raise Unreachable(f"lost {self.url} ({error})") from error

    def _answer(self, method: str, path: str, **what: Any) -> httpx.Response:
        try:
            response = self._client.request(method, path, **what)
        except httpx.HTTPError as error:
            raise Unreachable(
                f"cannot reach {self.url} ({error}): is `chappe up` running? "
                "CHAPPE_URL says where the server is"
            ) from error
        if response.status_code >= httpx.codes.BAD_REQUEST:
            raise _refused(response)
        return response

    def _ask(self, method: str, path: str, **what: Any) -> Any:
        response = self._answer(method, path, **what)
        try:
            return msgspec.json.decode(response.content) if response.content else None
        except msgspec.DecodeError as error:
            raise Unreachable(
                f"{self.url} does not answer like Chappe: check CHAPPE_URL"
            ) from error

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _refused(response: httpx.Response) -> Refused:
    try:
        problem = msgspec.json.decode(response.content, type=dict[str, Any])
    except msgspec.MsgspecError:
        problem: Mapping[str, Any] = {}
    detail = problem.get("detail") or f"{response.request.url.path}: {response.status_code}"
    given: list[dict[str, Any]] = problem.get("errors") or []
    errors = [
        {"where": str(each.get("where", "")), "what": str(each.get("what", ""))} for each in given
    ]
    return Refused(response.status_code, str(detail), errors)
