"""Errors as problem+json (RFC 9457), each with what to do."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, cast

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException


class FieldError(msgspec.Struct, frozen=True):
    """One thing that is wrong: ``where`` in the input, and ``what``."""

    where: str
    what: str


class Problem(Exception):
    """Raise to answer with problem+json."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: dict[str, str] | None = None,
        title: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = headers or {}
        self.title = title or HTTPStatus(status).phrase

    def response(self) -> Response:
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            body["errors"] = [msgspec.structs.asdict(error) for error in self.errors]
        return Response(
            msgspec.json.encode(body),
            self.status,
            headers=self.headers,
            media_type="application/problem+json",
        )


def install(app: FastAPI) -> None:
    """Answer every error of ``app`` as a problem."""

    async def on_problem(_: Request, error: Exception) -> Response:
        return cast("Problem", error).response()

    async def on_http(_: Request, error: Exception) -> Response:
        http = cast("HTTPException", error)
        headers = dict(http.headers or {})
        return Problem(http.status_code, str(http.detail), headers=headers).response()

    async def on_invalid(_: Request, error: Exception) -> Response:
        invalid = cast("RequestValidationError", error)
        errors = [
            FieldError(".".join(str(part) for part in item["loc"]), str(item["msg"]))
            for item in invalid.errors()
        ]
        return Problem(422, "the request cannot be used; see errors", errors=errors).response()

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid)
