"""Take a ``/v1/batch`` apart: its items travel one by one, each keyed by its own person."""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec

from chappe_ingest.domain.identifiers import VALUE_MAX_CHARS

BATCH_MAX_BYTES: Final = 500_000
CALL_MAX_BYTES: Final = 32_768
ITEMS_MAX: Final = 2_500

_Fields: TypeAlias = dict[str, msgspec.Raw]
_NOTHING = msgspec.Raw(b"")


class NotABatch(Exception):
    """The body cannot be taken apart; the message says why."""

    def __init__(self, why: str, *, too_many: bool = False) -> None:
        super().__init__(why)
        self.too_many = too_many


class Item(msgspec.Struct, frozen=True):
    """One call: its bytes, and who it is about (None: nobody)."""

    body: bytes
    entity: str | None


@dataclass(frozen=True, slots=True)
class Batch:
    """An entry that is no call is an item like the others: the resolver says what is wrong."""

    items: tuple[Item, ...]
    write_key: str | None


class _Batch(msgspec.Struct):
    batch: list[msgspec.Raw]
    writeKey: Any = None  # noqa: N815 - the spec's spelling
    sentAt: msgspec.Raw = _NOTHING  # noqa: N815 - the spec's spelling
    context: msgspec.Raw = _NOTHING


class _Person(msgspec.Struct):
    userId: Any = None  # noqa: N815 - the spec's spelling
    anonymousId: Any = None  # noqa: N815 - the spec's spelling
    writeKey: Any = None  # noqa: N815 - the spec's spelling


_batch = msgspec.json.Decoder(_Batch)
_person = msgspec.json.Decoder(_Person)
_fields = msgspec.json.Decoder(_Fields)
_encode = msgspec.json.Encoder().encode


def split(body: bytes) -> Batch:
    """The items of ``body``, what the batch says for all of them written into each.

    Raises ``NotABatch`` when it is no object with a ``batch`` list of at most ``ITEMS_MAX``.
    """
    try:
        batch = _batch.decode(body)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise NotABatch(str(error)[:200]) from None
    if len(batch.batch) > ITEMS_MAX:
        raise NotABatch(f"more than {ITEMS_MAX} items in one batch", too_many=True)
    items = tuple(_item(batch, bytes(raw)) for raw in batch.batch)
    return Batch(items, _text(batch.writeKey))


def single(body: bytes) -> tuple[Item, str | None]:
    """One call and the write key in it. Never raises: the resolver will say what is wrong."""
    try:
        person = _person.decode(body)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return Item(body, None), None
    return Item(body, _entity(person)), _text(person.writeKey)


def _item(batch: _Batch, body: bytes) -> Item:
    try:
        person = _person.decode(body)
        if not bytes(batch.sentAt) and not bytes(batch.context):
            return Item(body, _entity(person))
        fields = _fields.decode(body)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return Item(body, None)
    if bytes(batch.sentAt):
        fields.setdefault("sentAt", batch.sentAt)
    if bytes(batch.context):
        fields["context"] = _merged(batch.context, fields.get("context"))
    return Item(_encode(fields), _entity(person))


def _merged(common: msgspec.Raw, own: msgspec.Raw | None) -> msgspec.Raw:
    """The item's context over the batch's, field by field."""
    if own is None:
        return common
    try:
        return msgspec.Raw(_encode(_fields.decode(common) | _fields.decode(own)))
    except msgspec.MsgspecError:
        return own


def _entity(person: _Person) -> str | None:
    return _text(person.userId) or _text(person.anonymousId)


def _text(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        return None
    return str(value)[:VALUE_MAX_CHARS]
