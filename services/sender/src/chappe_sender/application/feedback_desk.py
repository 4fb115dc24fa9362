"""Decide what facts from outside change: messages, addresses, what everybody hears. Pure."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from chappe.events import Decision, Event, rename
from chappe.ids import EventId, MessageId, WorkspaceId, derived
from chappe_sender.application.feedback_ports import (
    Choice,
    Closed,
    Fact,
    FeedbackChanges,
    Heard,
    Held,
    Moved,
    Row,
)
from chappe_sender.domain.addresses import address_key
from chappe_sender.domain.bounces import Kind, ProviderEvent
from chappe_sender.domain.coming_back import Consequence, consequence
from chappe_sender.domain.message import State, decision, report
from chappe_sender.domain.suppressing import (
    Health,
    Reason,
    Rules,
    Site,
    domain_of,
    is_hard,
    is_spike,
    judge,
)

BY_OPERATOR, BY_EVIDENCE = "operator", "evidence"
_MANY = frozenset({Kind.OPENED, Kind.CLICKED, Kind.DEFERRED})
"""What may truly happen to one message more than once."""

_FAILED = frozenset({Kind.BOUNCED, Kind.REJECTED})


def decide(
    facts: Sequence[Fact],
    choices: Sequence[Choice],
    held: Held,
    sites: Mapping[str, str],
    now: dt.datetime,
) -> FeedbackChanges:
    """Apply ``facts`` and ``choices`` in their order. ``sites`` maps a domain to its MX site."""
    desk = _Desk(held, sites, now)
    for choice in choices:
        desk.choose(choice)
    for fact in facts:
        desk.hear(fact)
    return desk.changes


def occurred_at(fact: Fact) -> dt.datetime:
    """When it happened, on the business clock: as long before it reached us as the teller says."""
    told, delivery = fact.event.occurred_at, fact.delivery
    ago = delivery.received_wall - told if told is not None else dt.timedelta()
    return delivery.received_at - max(ago, dt.timedelta())


@dataclass(slots=True)
class _Desk:
    held: Held
    sites: Mapping[str, str]
    now: dt.datetime
    changes: FeedbackChanges = field(default_factory=FeedbackChanges)

    def hear(self, fact: Fact) -> None:
        row = self._row(fact)
        workspace = fact.workspace or (row.message.workspace if row else None)
        if workspace is None:
            return
        key = (workspace, fact.event.dedupe or fact.delivery.id)
        if key in self.held.keys or key in self.changes.heard:
            return
        address = row.address if row else address_key(fact.event.recipient or "")
        foreign = row is not None and _is_foreign(fact.event, row.address)
        effect = self._message(fact, row, foreign=foreign)
        self.changes.heard[key] = Heard(
            workspace=workspace,
            key=key[1],
            message=row.message.id if row else None,
            provider=fact.delivery.kind,
            event=fact.event,
            effect=effect,
            delivery=fact.delivery.id,
            occurred_at=occurred_at(fact),
            marketing=row is not None and row.message.is_marketing,
            site=self.sites.get(domain_of(address), domain_of(address)),
        )
        # A repeat under another key changes the message no more, and counts against nobody.
        if address and effect not in {"late", "not_sent"}:
            self._address(fact, workspace, address, foreign=foreign)

    def _row(self, fact: Fact) -> Row | None:
        for id_ in fact.candidates:
            if (row := self._in(fact, id_)) is not None:
                return row
        for id_ in fact.provider_ids:
            own = self.held.by_provider.get((fact.workspace or "", id_))
            if own is not None and (row := self._in(fact, own)) is not None:
                return row
        return None

    def _in(self, fact: Fact, id_: str) -> Row | None:
        """A provider may speak of its own workspace's messages alone."""
        row = self.held.messages.get(id_)
        if row is None or fact.workspace not in (None, row.message.workspace):
            return None
        moved = self.changes.moved.get(row.message.id)
        return row if moved is None else replace(row, state=moved.state)

    # -- the message ------------------------------------------------------------------------

    def _message(self, fact: Fact, row: Row | None, *, foreign: bool) -> str:
        if row is None:
            return "unknown_message"
        event = fact.event
        if fact.own and event.kind in _FAILED:
            return "own"
        found = consequence(event.kind, row.state, row.attempts)
        if found.state is not None and found.state is not row.state:
            reason = _class(event) if event.kind in _FAILED else None
            self._move(row, found.state, reason, event.reason if reason else None)
        if found.resolves:
            shard = fact.delivery.shard
            self._resolve(shard, row, str(found.state), BY_EVIDENCE, said=event.kind.value)
        # A reply is the contact's own only from the contact's own address.
        stranger = foreign and event.kind is Kind.REPLIED
        if found.event is not None and not fact.own and not stranger:
            self._publish(fact, row, found, foreign=foreign)
        return found.effect

    def _publish(self, fact: Fact, row: Row, found: Consequence, *, foreign: bool) -> None:
        assert found.event is not None
        event, message = fact.event, row.message
        said = report(
            message,
            found.event,
            self.now,
            _class(event) if event.kind in _FAILED else None,
            **self._said(fact, row, foreign=foreign),
        )
        own = (message.id, found.event, event.dedupe) if event.kind in _MANY else None
        published = rename(
            said,
            id=EventId(derived("ev_", "sender", *own)) if own else said.id,
            occurred_at=min(occurred_at(fact), self.now),
            received_at=fact.delivery.received_at,
            source_event=fact.delivery.kind,
        )
        self._tell(fact.delivery.shard, published)
        words = {"provider": fact.delivery.kind, "detail": event.reason}
        what = found.event.rpartition(".")[2]
        line = decision(message, what, self.now, _class(event), **words)
        self._tell(fact.delivery.shard, line)

    def _said(self, fact: Fact, row: Row, *, foreign: bool) -> dict[str, object]:
        event = fact.event
        said: dict[str, object] = {
            "address": row.address,
            "provider": fact.delivery.kind,
            "detail": event.reason,
            "raw": fact.delivery.id,
        }
        if event.kind in _FAILED or event.kind is Kind.DEFERRED:
            said["bounce_class"] = _class(event)
            said["permanent"] = event.permanent and not foreign
            if foreign:
                said["recipient"] = event.recipient
        if event.kind in {Kind.OPENED, Kind.CLICKED}:
            said |= {"url": event.url, "machine": event.machine}
            said["verdict"] = "machine" if event.machine else "unsure"
        if event.kind is Kind.UNSUBSCRIBED:
            said["topic"] = row.topic
        return said

    def _move(self, row: Row, state: State, reason: str | None, detail: str | None) -> None:
        id_ = row.message.id
        before = self.changes.moved.get(id_)
        self.changes.moved[id_] = Moved(
            id=id_,
            was=before.was if before else row.state,
            state=state,
            reason=reason,
            detail=detail,
        )

    def _resolve(self, shard: int, row: Row, became: str, by: str, **seen: str | None) -> None:
        told = report(row.message, "email.resolved", self.now, **{"as": became, "by": by, **seen})
        self._tell(shard, told)
        line = decision(row.message, "resolved", self.now, became, by=by, **seen)
        self._tell(shard, line)

    def _tell(self, shard: int, what: Event | Decision) -> None:
        """By the shard that heard it, which need not be the message's (DECISIONS 36)."""
        self.changes.told.append((shard, what))

    # -- an operator's word -----------------------------------------------------------------

    def choose(self, choice: Choice) -> None:
        row = self.held.messages.get(choice.message)
        if row is None or row.message.workspace != choice.workspace:
            return
        if row.state is not State.IN_DOUBT or row.message.id in self.changes.moved:
            return
        became = "accepted" if choice.accepted else "not_accepted"
        if choice.accepted:
            self._move(row, State.ACCEPTED, None, choice.note or None)
        elif row.message.is_marketing:
            self._move(row, State.FAILED, became, choice.note or None)
            failed = report(row.message, "email.failed", self.now, became)
            self._tell(choice.delivery.shard, failed)
        else:
            self._move(row, State.PENDING, became, choice.note or None)
            again = self.changes.moved[row.message.id]
            self.changes.moved[row.message.id] = replace(again, again=True)
        self._resolve(choice.delivery.shard, row, became, BY_OPERATOR, note=choice.note or None)

    # -- the address ------------------------------------------------------------------------

    def _address(self, fact: Fact, workspace: WorkspaceId, address: str, *, foreign: bool) -> None:
        event = fact.event
        domain = domain_of(address)
        site = self.sites.get(domain, domain)
        rules = self.held.rules.get(workspace, Rules())
        mine, theirs = (workspace, address), (workspace, f"@{domain}")
        hard = is_hard(event, foreign=foreign)
        if hard or event.kind is Kind.DELIVERED:
            self._count(workspace, site, hard=hard)
        standing = self._site(workspace, site)
        judged = judge(
            event,
            foreign=foreign,
            health=self._health(mine),
            domain=self._health(theirs),
            site=standing,
            rules=rules,
            now=self.now,
        )
        self._keep(mine, judged.health)
        self._keep(theirs, judged.domain)
        if judged.reason is not None:
            self._close(fact, workspace, address, judged.reason, site)
        if hard and is_spike(standing, rules):
            self.changes.spikes.add((workspace, site))
        if event.kind is Kind.UNSUBSCRIBED and not fact.own and self._row(fact) is None:
            self._close(fact, workspace, address, "unsubscribed", None)

    def _close(
        self, fact: Fact, workspace: WorkspaceId, address: str, reason: str, site: str | None
    ) -> None:
        event = fact.event
        key = (workspace, address)
        known = self.changes.closed.get(key)
        if known is not None and known.reason in {Reason.COMPLAINED, Reason.BOUNCED}:
            return
        row = self._row(fact)
        self.changes.closed[key] = Closed(
            workspace=workspace,
            address=address,
            reason=str(reason),
            source=row.message.id if row else fact.delivery.kind,
            site=site,
            bounce_class=_class(event) if event.kind in _FAILED else None,
            detail=event.reason,
        )

    def _health(self, key: tuple[str, str]) -> Health:
        return self.changes.health.get(key) or self.held.health.get(key) or Health()

    def _keep(self, key: tuple[str, str], health: Health) -> None:
        if health != self._health(key):
            self.changes.health[key] = health

    def _count(self, workspace: str, site: str, *, hard: bool) -> None:
        was = self.changes.sites.get((workspace, site), Site())
        self.changes.sites[workspace, site] = Site(was.delivered + (not hard), was.hard + hard)

    def _site(self, workspace: str, site: str) -> Site:
        stored = self.held.sites.get((workspace, site), Site())
        added = self.changes.sites.get((workspace, site), Site())
        return Site(stored.delivered + added.delivered, stored.hard + added.hard)


def _class(event: ProviderEvent) -> str | None:
    return event.bounce_class.value if event.bounce_class is not None else None


def _is_foreign(event: ProviderEvent, address: str) -> bool:
    return bool(event.recipient) and address_key(event.recipient or "") != address


def message_candidates(event: ProviderEvent) -> tuple[str, ...]:
    """Ids in ``event`` that may be our own: as given back, or the left of our Message-ID."""
    named = [event.message or "", (event.provider_message_id or "").partition("@")[0]]
    return tuple(dict.fromkeys(MessageId(each) for each in named if each))
