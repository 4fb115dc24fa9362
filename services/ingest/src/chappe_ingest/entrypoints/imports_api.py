"""``/api/v1/imports``: contacts from a table, on the bulk stream, triggering nothing."""

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel

from chappe.clock import Clock
from chappe.events import RAW_BULK
from chappe.http import FieldError, Problem
from chappe.ids import SourceId, WorkspaceId
from chappe_ingest.application.inlet import Delivered, Inlet, LogAway
from chappe_ingest.domain import marks
from chappe_ingest.domain.contact_rows import (
    TABLE_MAX_BYTES,
    BadRow,
    ContactRow,
    NoTable,
    rows_of,
)
from chappe_ingest.domain.reading import iso
from chappe_ingest.domain.source import Source, SourceState
from chappe_ingest.domain.sources import API
from chappe_ingest.entrypoints.workspace import Authorise

CHUNK: Final = 200
WRONG_MAX: Final = 100
"""Bad rows that are told one by one; all are counted."""

_encode = msgspec.json.Encoder().encode


class WrongRow(BaseModel):
    """The row as a spreadsheet numbers it: the head is row 1."""

    row: int
    column: str
    what: str


class Import(BaseModel):
    """What became of a table, or in a dry run would. The same table again changes nothing.

    ``next_row``: send the table again from there, because the log was away; null: all is done.
    """

    id: str
    dry_run: bool
    taken: int
    refused: int
    errors: list[WrongRow]
    next_row: int | None


@dataclass(slots=True)
class _Count:
    taken: int = 0
    refused: int = 0
    errors: list[WrongRow] = field(default_factory=list[WrongRow])

    def refuse(self, bad: BadRow) -> None:
        self.refused += 1
        if len(self.errors) < WRONG_MAX:
            self.errors.append(WrongRow(row=bad.number, column=bad.column, what=bad.what))


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportsDesk:
    """Reads tables. Each row is a delivery of its own, known by the table's hash and its number."""

    inlet: Inlet
    business: Clock

    async def take(
        self,
        workspace: WorkspaceId,
        content: bytes,
        *,
        namespace: str,
        dry_run: bool,
        from_row: int,
    ) -> Import:
        try:
            rows = rows_of(content, namespace)
        except NoTable as error:
            raise Problem(422, str(error), errors=[FieldError("body", str(error))]) from None
        id_ = "imp_" + hashlib.sha256(namespace.encode() + b" " + content).hexdigest()[:24]
        count = _Count()
        next_row = None
        source = self._source(workspace)
        for chunk in _chunks(row for row in rows if row.number >= from_row):
            usable = [row for row in chunk if isinstance(row, ContactRow)]
            try:
                if usable and not dry_run:
                    deliveries = [self._delivered(id_, row) for row in usable]
                    await self.inlet.take(source, deliveries, RAW_BULK)
            except LogAway:
                next_row = chunk[0].number
                break
            await asyncio.sleep(0)  # a large table leaves room for the door
            count.taken += len(usable)
            for row in chunk:
                if isinstance(row, BadRow):
                    count.refuse(row)
        return Import(
            id=id_,
            dry_run=dry_run,
            taken=count.taken,
            refused=count.refused,
            errors=count.errors,
            next_row=next_row,
        )

    def _delivered(self, id_: str, row: ContactRow) -> Delivered:
        document = {
            "id": f"{id_} {row.number}",
            "name": "contact.updated",
            "identifiers": [{"type": i.type, "value": i.value} for i in row.identifiers],
            "traits": row.traits,
            "data": {},
            "occurred_at": iso(self.business.now()),
        }
        first = row.identifiers[0]
        return Delivered(
            headers={marks.HISTORICAL: "1"},
            body=_encode(document),
            entity=f"{first.type} {first.value}",
            verified=True,
        )

    def _source(self, workspace: WorkspaceId) -> Source:
        return Source(
            id=SourceId(API),
            workspace=workspace,
            kind=API,
            name=API,
            namespace="",
            state=SourceState.ACTIVE,
            created_at=self.business.now(),
        )


def routes(desk: ImportsDesk, authorise: Authorise) -> APIRouter:
    router = APIRouter(prefix="/api/v1", tags=["imports"], max_body_size=TABLE_MAX_BYTES)
    workspace: Any = Depends(authorise)

    @router.post("/imports")
    async def take(
        request: Request,
        namespace: Annotated[str, Query(pattern=r"^[A-Za-z0-9._-]{0,63}$")] = "",
        *,
        dry_run: bool = False,
        from_row: Annotated[int, Query(ge=2)] = 2,
        workspace: WorkspaceId = workspace,
    ) -> Import:
        """Import contacts from the CSV table in the body.

        Columns: email, phone, external_id; first_name, last_name, locale, timezone, country;
        consent_email (also _sms, _tracking) with consent_email_at and consent_email_source; any
        other becomes a trait of its name.
        """
        content = await request.body()
        return await desk.take(
            workspace, content, namespace=namespace, dry_run=dry_run, from_row=from_row
        )

    _ = take
    return router


def _chunks(
    rows: Iterator[ContactRow | BadRow],
) -> Iterator[Sequence[ContactRow | BadRow]]:
    while chunk := tuple(islice(rows, CHUNK)):
        yield chunk
