"""Fold the records of a batch into what is known: lines, counts, verdicts, attributed orders."""

from collections import defaultdict

from chappe.events import Decision, Event, RawEngagement, encode_event
from chappe.ids import ContactId, MessageId, Shard, WorkspaceId
from chappe.shards import Input
from chappe_analytics.application.ports import (
    Changes,
    ContactKey,
    Count,
    EntryKey,
    Held,
    Hit,
    StoredEvent,
)
from chappe_analytics.domain.attribution import converts, earned_by
from chappe_analytics.domain.engagement import Engagement, fact_of, key_of
from chappe_analytics.domain.merging import (
    ERASE,
    FORWARDED,
    TRANSFERRED,
    blank,
    merged_into,
)
from chappe_analytics.domain.message import Message, message_of
from chappe_analytics.domain.tallies import Counts, Tally, add, change
from chappe_analytics.domain.timeline import Entry, entry_of_decision, entry_of_event
from chappe_analytics.domain.verdict import Verdict, judge


class Fold:
    """One batch in the making. What was applied before is dropped by its id.

    ``addresses`` are the e-mail addresses that events of the batch named, ``verdicts`` the kinds
    and verdicts of its opens and clicks, ``repeats`` how many records were known.
    """

    def __init__(self, held: Held) -> None:
        self._held = held
        self._before: dict[MessageId, Counts] = {}
        self._shards: dict[MessageId, Shard] = {}
        self._counts: defaultdict[Shard, Counts] = defaultdict(dict)
        self._of_contact: defaultdict[ContactKey, dict[MessageId, Message]] = defaultdict(dict)
        self._changes = Changes()
        self.addresses: dict[ContactKey, str] = {}
        self.verdicts: list[tuple[str, Verdict]] = []
        self.repeats = 0
        for message in held.messages.values():
            key = self._current(message.workspace, message.contact)
            self._of_contact[key][message.id] = message

    def engage(self, touch: RawEngagement) -> Event | None:
        """Judge one open or click; the fact that it is, if it is the first of its kind."""
        if touch.id in self._held.hits:
            self.repeats += 1
            return None
        self._held.hits.add(touch.id)
        verdict = judge(touch)
        key = key_of(touch)
        engagement = self._held.engagements.setdefault(key, Engagement())
        self._changes.engagements[key] = engagement
        self._changes.hits.append(Hit(touch.id, *key, verdict.value, touch.received_at))
        self.verdicts.append((touch.kind, verdict))
        return fact_of(touch, verdict) if engagement.count(verdict) else None

    def decide(self, shard: Shard, decision: Decision) -> None:
        """A decision of the orchestrator or the sender."""
        if not self._write(self._shown(entry_of_decision(decision))):
            return
        if decision.message is not None:
            message = self._message(shard, decision.message, decision.workspace, decision.contact)
            message.learn(decision)
        elif decision.journey is not None:
            tally = Tally(
                decision.workspace,
                decision.journey,
                decision.version or 0,
                decision.step or "",
                decision.what,
                decision.reason or "",
            )
            add(self._counts[shard], tally)

    def hear(self, record: Input, event: Event, contact: ContactId) -> None:
        """A fact about a contact. What was only sent on after a merge was heard where it came."""
        if event.name == TRANSFERRED or FORWARDED in event.data:
            return
        if (into := merged_into(event)) is not None:
            self._changes.merged.append((ContactKey(event.workspace, contact), into))
            self._held.aliases[ContactKey(event.workspace, contact)] = into
            return
        if not self._write(self._shown(entry_of_event(event, contact))):
            return
        forgotten = self._is_forgotten(event.workspace, contact)
        if event.name == ERASE and not forgotten:
            self._changes.forgotten.append(ContactKey(event.workspace, contact))
            self._held.aliases[ContactKey(event.workspace, contact)] = None
            self._changes.entries[-1] = blank(self._changes.entries[-1])
        elif not forgotten:
            self._changes.events.append(
                StoredEvent(
                    record.shard, record.stream, record.offset, event.workspace, encode_event(event)
                )
            )
        if (address := event.identifier("email")) is not None:
            self.addresses[ContactKey(event.workspace, contact)] = address
        if event.flags.copy:
            return
        add(self._counts[record.shard], Tally(event.workspace, "", 0, "", "events", event.name))
        if (about := message_of(event)) is not None:
            self._message(record.shard, about, event.workspace, contact).hear(event)
        if converts(event):
            self._attribute(record.shard, event, contact)

    def changes(self) -> Changes:
        """All of it, to be written in one statement. The end of the fold: call it once."""
        for number, before in self._before.items():
            message = self._held.messages[number]
            self._changes.messages.append(message)
            for tally, n in change(before, message.counts()).items():
                add(self._counts[self._shards[number]], tally, n)
        self._changes.entries.sort(key=_in_time)
        self._changes.counts.extend(Count(*item) for item in self._counts.items())
        return self._changes

    def _write(self, entry: Entry) -> bool:
        key = EntryKey(entry.workspace, entry.contact, entry.id)
        if key in self._held.entries:
            self.repeats += 1
            return False
        self._held.entries.add(key)
        self._changes.entries.append(entry)
        return True

    def _message(
        self, shard: Shard, number: MessageId, workspace: WorkspaceId, contact: ContactId
    ) -> Message:
        message = self._held.messages.get(number)
        if message is None:
            message = Message(id=number, workspace=workspace, contact=contact)
            self._held.messages[number] = message
            self._of_contact[self._current(workspace, contact)][number] = message
        if number not in self._before:
            self._before[number] = message.counts()
            self._shards[number] = shard
        return message

    def _attribute(self, shard: Shard, event: Event, contact: ContactId) -> None:
        candidates = self._of_contact[self._current(event.workspace, contact)].values()
        earner = earned_by(event, candidates)
        if earner is not None:
            self._message(shard, earner.id, earner.workspace, earner.contact).earn(event)

    def _current(self, workspace: WorkspaceId, contact: ContactId) -> ContactKey:
        key = ContactKey(workspace, contact)
        return ContactKey(workspace, self._held.aliases.get(key) or contact)

    def _is_forgotten(self, workspace: WorkspaceId, contact: ContactId) -> bool:
        key = ContactKey(workspace, contact)
        return key in self._held.aliases and self._held.aliases[key] is None

    def _shown(self, entry: Entry) -> Entry:
        """Of somebody who was forgotten a line says that it was, and no more."""
        return blank(entry) if self._is_forgotten(entry.workspace, entry.contact) else entry


def _in_time(entry: Entry) -> tuple[object, bool]:
    """At one instant a fact comes before the decisions that answer it."""
    return entry.at, entry.kind == "decision"
