"""The FastAPI app of one service: ``/livez /readyz /metrics /version`` and problems."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from typing import Any, TypeAlias

import asyncpg
from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from chappe.http import problems

CHECK_SECONDS_MAX = 3.0

Check: TypeAlias = Callable[[], Awaitable[None]]
"""Raises, with a sentence, when what it checks is not usable."""


def create_app(
    service: str, *, checks: Mapping[str, Check], distribution: str = "chappe-common"
) -> FastAPI:
    """An app with the addresses every service has. ``/readyz`` runs every named check."""
    app = FastAPI(
        title=f"Chappe {service}",
        version=version(distribution),
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    problems.install(app)
    _refuse_unstorable(app)

    @app.get("/livez", tags=["health"])
    async def livez() -> dict[str, str]:
        """The process runs."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["health"])
    async def readyz() -> JSONResponse:
        """Every dependency answers; each check is named."""
        results = await run_checks(checks)
        good = all(result == "ok" for result in results.values())
        body: dict[str, Any] = {"status": "ok" if good else "not ready", "checks": results}
        return JSONResponse(body, 200 if good else 503)

    @app.get("/metrics", tags=["health"])
    async def metrics() -> Response:
        """Prometheus exposition."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/version", tags=["health"])
    async def version_() -> dict[str, str]:
        """Which service and version answers."""
        return {"service": service, "version": version(distribution)}

    _ = (livez, readyz, metrics, version_)
    return app


def _refuse_unstorable(app: FastAPI) -> None:
    """Answer 422 where the database refuses a value for what it is: NUL, a lone surrogate."""

    async def on_data(_: Any, __: Exception) -> Any:
        return problems.Problem(422, "a value cannot be stored: a NUL, a lone surrogate").response()

    app.add_exception_handler(asyncpg.DataError, on_data)
    app.add_exception_handler(UnicodeEncodeError, on_data)


async def run_checks(checks: Mapping[str, Check]) -> dict[str, str]:
    """``ok`` or the reason, by name. A check that hangs is a check that failed."""

    async def run(check: Check) -> str:
        try:
            async with asyncio.timeout(CHECK_SECONDS_MAX):
                await check()
        except TimeoutError:
            return f"no answer within {CHECK_SECONDS_MAX:.0f} s"
        except Exception as error:  # noqa: BLE001 - whatever it is, it is why we are not ready
            return str(error) or type(error).__name__
        return "ok"

    results = await asyncio.gather(*(run(check) for check in checks.values()))
    return dict(zip(checks, results, strict=True))
