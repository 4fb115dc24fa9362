"""What a journey or a segment names that stands elsewhere: topics, segments, other journeys."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias, cast

from pydantic import BaseModel, RootModel

from chappe.journey.cadence import Cap
from chappe.journey.conditions import InSegment, TopicIs
from chappe.journey.definition import Location
from chappe.journey.steps import SendWhat, StartJourneyStep, UpdateWhat
from chappe.journey.triggers import JourneyChange, SegmentChange

Kind: TypeAlias = Literal["topic", "segment", "journey"]


class Mention(NamedTuple):
    """A name, what it should be the name of, and where it stands."""

    kind: Kind
    name: str
    at: Location


def mentions_in(model: BaseModel) -> Iterator[Mention]:
    """Every mention, in the order of the file."""
    for at, one in _walk(model, ()):
        for kind, key, name in _named(one):
            if name is not None:
                yield Mention(kind, name, (*at, *key))


def unknown_in(
    model: BaseModel, known: Mapping[Kind, Collection[str]]
) -> Iterator[tuple[Mention, Collection[str]]]:
    """The mentions of names that are not among the ``known`` ones of their kind. A kind that is
    left out is known to nobody and not looked at.
    """
    for one in mentions_in(model):
        names = known.get(one.kind)
        if names is not None and one.name not in names:
            yield one, names


def _named(model: BaseModel) -> Iterator[tuple[Kind, Location, str | None]]:
    match model:
        case TopicIs(topic=topics):
            for name in topics:
                yield "topic", ("topic", name), name
        case SendWhat(topic=name) | Cap(topic=name):
            yield "topic", ("topic",), name
        case UpdateWhat(opt_out=name):
            yield "topic", ("opt_out",), name
        case InSegment(segment=name):
            yield "segment", ("segment",), name
        case SegmentChange(entered=entered, left=left):
            yield "segment", ("entered",), entered
            yield "segment", ("left",), left
        case JourneyChange(started=started, finished=finished):
            yield "journey", ("started",), started
            yield "journey", ("finished",), finished
        case StartJourneyStep(start_journey=name):
            yield "journey", ("start_journey",), name
        case _:
            pass


def _walk(value: Any, at: Location) -> Iterator[tuple[Location, BaseModel]]:
    """Every mapping of the language inside ``value``, the outer ones first."""
    if isinstance(value, RootModel):
        return
    if isinstance(value, BaseModel):
        yield at, value
        for name, field in type(value).model_fields.items():
            yield from _walk(getattr(value, name), (*at, field.alias or name))
    elif isinstance(value, tuple):
        for index, one in enumerate(cast("tuple[Any, ...]", value)):
            yield from _walk(one, (*at, index))
