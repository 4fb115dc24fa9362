"""Read a batch in log order and decide what it changes. Pure: rows in, changes out."""

import datetime as dt
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import msgspec

from chappe.events import Cancel, Command, Event, Hold, Release, Send, Snapshot, decode_event
from chappe.events.streams import EVENTS, EVENTS_BULK, SENDS_BULK
from chappe.ids import ContactId, EnrollmentId, MessageId, StepId, WorkspaceId
from chappe.shards import DeadLetter, Input
from chappe_sender.application.ports import (
    Asked,
    Changes,
    Closing,
    Forgotten,
    HoldChange,
    Known,
    Loaded,
    TemplateFacts,
    Wanted,
)
from chappe_sender.domain import double_opt_in
from chappe_sender.domain.message import Message, State, decision, report
from chappe_sender.domain.permission import (
    Permission,
    Suppress,
    concerns_permission,
    hear,
    together,
)
from chappe_sender.domain.template import MessageClass

Read: TypeAlias = tuple[Input, Command | Event]
Holds: TypeAlias = AbstractSet[tuple[int, WorkspaceId, str]]
Templates: TypeAlias = Mapping[tuple[WorkspaceId, str], TemplateFacts | None]

PRIORITY_TRANSACTIONAL, PRIORITY_LIVE, PRIORITY_BULK = 0, 1, 2

_command = msgspec.json.Decoder(Command).decode


def read(inputs: list[Input], now: dt.datetime) -> tuple[list[Read], list[DeadLetter]]:
    """Decode; what cannot be decoded is set aside. Events that say nothing here are dropped."""
    found: list[Read] = []
    dead: list[DeadLetter] = []
    for item in inputs:
        try:
            if item.stream in {EVENTS, EVENTS_BULK}:
                event = decode_event(item.body)
                if event.contact is not None and concerns_permission(event):
                    found.append((item, event))
            else:
                found.append((item, _command(item.body)))
        except msgspec.MsgspecError as error:
            dead.append(DeadLetter(item, f"cannot be read: {error}", now))
    return found, dead


def wanted(found: list[Read]) -> Wanted:
    """The rows that these inputs touch."""
    messages: set[MessageId] = set()
    contacts: set[tuple[WorkspaceId, ContactId]] = set()
    for _, what in found:
        match what:
            case Send():
                messages |= {what.message, *what.overtakes}
            case Cancel():
                messages.add(what.message)
            case Event():
                assert what.contact is not None
                contacts.add((what.workspace, what.contact))
                if double_opt_in.address_to_ask(what) is not None:
                    messages |= set(double_opt_in.message_ids(what.workspace, what.contact))
                if (into := _merged_into(what)) is not None:
                    contacts.add((what.workspace, into))
            case _:
                pass
    return Wanted(frozenset(messages), frozenset(contacts))


def decide(
    found: list[Read], loaded: Loaded, templates: Templates, holds: Holds, now: dt.datetime
) -> Changes:
    """Apply ``found`` in order."""
    desk = _Desk(loaded, templates, set(holds), now)
    for item, what in found:
        match what:
            case Send():
                desk.send(item, what)
            case Cancel():
                desk.cancel(item, what.message, what.workspace, what.contact, what.reason)
            case Hold() | Release():
                desk.hold(item, what)
            case Event():
                desk.event(item, what)
    return desk.changes()


@dataclass(slots=True)
class _Desk:
    loaded: Loaded
    templates: Templates
    holds: set[tuple[int, WorkspaceId, str]]
    now: dt.datetime
    _new: dict[MessageId, Asked] = field(default_factory=dict)
    _changes: Changes = field(default_factory=Changes)

    def changes(self) -> Changes:
        self._changes.asked = list(self._new.values())
        return self._changes

    # -- commands ---------------------------------------------------------------------------

    def send(self, item: Input, send: Send) -> None:
        if send.message in self._new or send.message in self.loaded.messages:
            return
        facts = self.templates.get((send.workspace, send.template))
        message = Message(
            id=send.message,
            shard=item.shard,
            workspace=send.workspace,
            contact=send.contact,
            enrollment=send.enrollment,
            journey=send.journey,
            version=send.version,
            step=send.step,
            template=facts.id if facts is not None else send.template,
            message_class=facts.message_class if facts is not None else None,
            test=send.test,
        )
        missing = facts is None
        self._new[send.message] = Asked(
            message=message,
            state=State.FAILED if missing else State.PENDING,
            reason="template_missing" if missing else None,
            held=(item.shard, send.workspace, send.journey) in self.holds,
            send=send,
            topic=send.topic or (facts.topic if facts is not None else None),
            priority=_priority(item, message),
        )
        if missing:
            self._tell(item, message, "failed", "template_missing")
        if message.message_class is MessageClass.MARKETING:
            for earlier in send.overtakes:
                self._overtake(item, earlier, send)

    def _overtake(self, item: Input, earlier: MessageId, send: Send) -> None:
        message = self._message(earlier)
        if message is None or message.is_marketing:
            self.cancel(item, earlier, send.workspace, send.contact, "overtaken")

    def cancel(
        self, item: Input, id_: MessageId, workspace: WorkspaceId, contact: ContactId, reason: str
    ) -> None:
        """Take a message back while its content is surely not on the wire. One that is not there
        yet gets a tombstone; one that went out is too late, and the journal says so.
        """
        state = self._state(id_)
        message = self._message(id_)
        if message is None:
            message = Message(id=id_, shard=item.shard, workspace=workspace, contact=contact)
            self._new[id_] = Asked(
                message=message, state=State.CANCELLED, reason=reason,
                held=False, send=None, topic=None, priority=PRIORITY_LIVE,
            )  # fmt: skip
        elif state is State.CANCELLED:
            return
        elif not self._can_cancel(id_, state):
            late = decision(message, "cancel_too_late", self.now, reason, state=state)
            self._changes.told.append((item.shard, late))
            return
        elif id_ in self._new:
            self._new[id_] = replace(self._new[id_], state=State.CANCELLED, reason=reason)
        else:
            self._changes.cancelled[id_] = reason
        self._tell(item, message, "cancelled", reason)

    def hold(self, item: Input, what: Hold | Release) -> None:
        held = isinstance(what, Hold)
        key = (item.shard, what.workspace, what.journey)
        if held:
            self.holds.add(key)
        else:
            self.holds.discard(key)
        for id_, asked in self._new.items():
            message = asked.message
            if (message.shard, message.workspace, message.journey) == key:
                self._new[id_] = replace(asked, held=held)
        self._changes.holds.append(HoldChange(*key, held=held, at=what.at))

    def _can_cancel(self, id_: MessageId, state: State | None) -> bool:
        known = self.loaded.messages.get(id_)
        before_the_wire = state is State.SENDING and known is not None and not known.committing
        return state in {State.PENDING, State.SCHEDULED} or before_the_wire

    def _state(self, id_: MessageId) -> State | None:
        if id_ in self._changes.cancelled:
            return State.CANCELLED
        if id_ in self._new:
            return self._new[id_].state
        known = self.loaded.messages.get(id_)
        return known.state if known is not None else None

    def _message(self, id_: MessageId) -> Message | None:
        known: Asked | Known | None = self._new.get(id_) or self.loaded.messages.get(id_)
        return known.message if known is not None else None

    def _tell(self, item: Input, message: Message, what: str, reason: str) -> None:
        self._changes.told += [
            (item.shard, report(message, f"email.{what}", self.now, reason)),
            (item.shard, decision(message, what, self.now, reason)),
        ]

    # -- events -----------------------------------------------------------------------------

    def _current(self, workspace: WorkspaceId, contact: ContactId) -> tuple[WorkspaceId, ContactId]:
        for known_workspace, gone, into in self._changes.merged:
            if (workspace, contact) == (known_workspace, gone):
                contact = into
        return workspace, self.loaded.redirects.get((workspace, contact), contact)

    def _permission(self, key: tuple[WorkspaceId, ContactId]) -> Permission:
        held = self._changes.permissions.get(key) or self.loaded.permissions.get(key)
        return held or Permission()

    def _merge(self, workspace: WorkspaceId, gone: ContactId, into: ContactId) -> None:
        """Once; a repeat finds them one."""
        lost, kept = self._current(workspace, gone), self._current(workspace, into)
        if lost == kept:
            return
        both = together(self._permission(kept), self._permission(lost))
        if both != self._permission(kept):
            self._changes.permissions[kept] = both
        self._changes.merged.append((workspace, lost[1], kept[1]))

    def event(self, item: Input, event: Event) -> None:
        assert event.contact is not None
        key = self._current(event.workspace, event.contact)
        if (into := _merged_into(event)) is not None:
            self._merge(event.workspace, event.contact, into)
            return
        if event.name == "privacy.erase_requested":
            addresses = tuple(i.value for i in event.identifiers if i.type == "email")
            self._changes.forgotten.append(Forgotten(*key, addresses, event.occurred_at))
        held = self._changes.permissions.get(key) or self.loaded.permissions.get(key)
        heard = hear(held or Permission(), event)
        if heard.permission != (held or Permission()):
            self._changes.permissions[key] = heard.permission
            self._ask_whether(item, event, heard.permission)
        for each in heard.suppressions:
            scope = each.scope if isinstance(each, Suppress) else ""
            reason = each.reason if isinstance(each, Suppress) else None
            self._changes.closings[event.workspace, each.address, scope] = Closing(
                event.workspace, each.address, scope, reason, each.at
            )

    def _ask_whether(self, item: Input, event: Event, permission: Permission) -> None:
        """Ask by mail whether somebody who is now ``pending`` wants it."""
        address = double_opt_in.address_to_ask(event)
        pending = permission.consent is not None and permission.consent.proof == event.id
        if address is None or not pending or item.stream != EVENTS or event.contact is None:
            return
        before: dt.datetime | None = None
        for id_ in double_opt_in.message_ids(event.workspace, event.contact):
            if id_ in self._new:
                return
            known = self.loaded.messages.get(id_)
            if known is not None:
                before = known.asked_at
                continue
            if before is not None and self.now - before < double_opt_in.BETWEEN:
                return
            locale = event.traits.get("locale")
            name = StepId(double_opt_in.NAME)
            ask = Send(
                message=id_,
                workspace=event.workspace,
                contact=event.contact,
                enrollment=EnrollmentId(name),
                journey=name,
                version=1,
                step=name,
                template=name,
                address=address,
                locale=locale if isinstance(locale, str) else None,
                asked_at=self.now,
                due_at=self.now,
                deadline=self.now + double_opt_in.DEADLINE,
                snapshot=Snapshot(),
            )
            self.send(item, ask)
            return


def _merged_into(event: Event) -> ContactId | None:
    """Whom the event's contact goes into, when it is the one that goes."""
    into = event.data.get("into")
    if event.name != "contact.merged" or event.data.get("from") != event.contact:
        return None
    return ContactId(into) if isinstance(into, str) and into != event.contact else None


def _priority(item: Input, message: Message) -> int:
    if message.message_class is MessageClass.TRANSACTIONAL:
        return PRIORITY_TRANSACTIONAL
    return PRIORITY_BULK if item.stream == SENDS_BULK else PRIORITY_LIVE
