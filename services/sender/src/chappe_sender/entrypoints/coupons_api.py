"""``/api/v1/coupons``: pools of codes that templates hand out, one per contact and enrollment."""

import csv
import io
import re
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel

from chappe.clock import Clock
from chappe.http import FieldError, Page, Problem, cursor_of, position_of, require_token
from chappe.http.lists import LIMIT_DEFAULT, Limit
from chappe.ids import WorkspaceId
from chappe_sender.application.ports import CouponShelf
from chappe_sender.domain.template import TOPIC

BODY_BYTES_MAX = 8_388_608
CODES_MAX = 200_000
ERRORS_MAX = 50
_CODE = re.compile(r"[^\x00-\x1f\x7f]{1,100}")
_HEADINGS = frozenset(("code", "codes", "coupon"))


class Added(BaseModel):
    """``new`` codes were not in the pool before."""

    pool: str
    given: int
    new: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CouponsApi:
    """What the addresses need."""

    admin_token: str
    shelf: CouponShelf
    clock: Clock


def router(api: CouponsApi) -> APIRouter:
    routes = APIRouter(prefix="/api/v1")
    workspace_of = require_token(api.admin_token)

    @routes.post("/coupons", status_code=201)
    async def add(
        pool: str, request: Request, workspace: Annotated[WorkspaceId, Depends(workspace_of)]
    ) -> Added:
        """The body is CSV: a code in the first column of each line. A repeat adds nothing."""
        if not TOPIC.fullmatch(pool):
            wrong = FieldError("pool", "use lower-case letters, digits, - and _, at most 64")
            raise Problem(422, "the pool cannot be called so", errors=[wrong])
        codes = _codes(await _body(request))
        new = await api.shelf.add(workspace, pool, codes, api.clock.now())
        return Added(pool=pool, given=len(codes), new=new)

    @routes.get("/coupons")
    async def list_(
        workspace: Annotated[WorkspaceId, Depends(workspace_of)],
        limit: Limit = LIMIT_DEFAULT,
        cursor: str | None = None,
    ) -> Page[dict[str, Any]]:
        """The pools, by name: how many codes, and how many are left."""
        after = position_of(cursor, 1) or [""]
        rows = await api.shelf.listed(workspace, str(after[0]), limit + 1)
        more = cursor_of(rows[limit - 1]["pool"]) if len(rows) > limit else None
        return Page[dict[str, Any]](items=rows[:limit], next=more)

    _ = (add, list_)
    return routes


async def _body(request: Request) -> str:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise Problem(413, f"more than {BODY_BYTES_MAX // 1024} kB: send several files")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Problem(422, "the table is not UTF-8") from None


def _codes(text: str) -> list[str]:
    codes: dict[str, None] = {}
    wrong: list[FieldError] = []
    try:
        for number, row in enumerate(csv.reader(io.StringIO(text)), 1):
            code = row[0].strip() if row else ""
            if not code or (number == 1 and code.lower() in _HEADINGS):
                continue
            if _CODE.fullmatch(code):
                codes[code] = None
            elif len(wrong) < ERRORS_MAX:
                wrong.append(FieldError(f"body:{number}", "is no code of 1 to 100 letters"))
    except csv.Error as error:
        wrong.append(FieldError("body", f"is no CSV: {error}"))
    if len(codes) > CODES_MAX:
        wrong.append(FieldError("body", f"more than {CODES_MAX} codes"))
    if wrong or not codes:
        raise Problem(422, "the codes cannot be used; see errors", errors=wrong)
    return list(codes)
