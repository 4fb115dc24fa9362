"""What publishing looks at besides the text: topics that exist, drafts that were kept."""

import datetime as dt
from collections.abc import Collection, Sequence

import httpx
import pytest

from chappe.ids import WorkspaceId
from chappe.journey import Complaint, Journey, JourneyInvalidError, canonical_json, read_journey
from chappe_orchestrator.adapters.topics import HttpTopics
from chappe_orchestrator.application.library import PinnedTemplate
from chappe_orchestrator.application.ports import NewVersion, Published
from chappe_orchestrator.application.publishing import PublishJourneys, Written, drafted

DEFAULT = WorkspaceId("default")
NOW = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
PINNED = {"hello": PinnedTemplate("hello@1", topic="news")}

TEXT = """\
schema: 1
journey: j
trigger: {event: contact.created}
entry: {filter: {topic: {offers: subscribed}}}
cadence: {caps: [{most: 1, within: 7d, topic: ofers}]}
steps:
  - send: {template: hello, topic: news}
  - update: {opt_out: newss}
"""


class Shelf:
    def __init__(self) -> None:
        self.published: list[NewVersion] = []

    async def publish(
        self, workspace: WorkspaceId, versions: Sequence[NewVersion], at: dt.datetime
    ) -> list[Published]:
        self.published += versions
        return [Published(one.journey, 1, changed=True) for one in versions]


class Topics:
    def __init__(self, known: Collection[str] | None) -> None:
        self.names = frozenset(known) if known is not None else None
        self.asked = 0

    async def known(self, workspace: WorkspaceId) -> frozenset[str] | None:
        self.asked += 1
        return self.names


async def nothing_moved(
    workspace: WorkspaceId, sources: Sequence[Written], journeys: Sequence[Journey]
) -> list[Complaint]:
    return []


def publishing(known: Collection[str] | None) -> tuple[PublishJourneys, Topics, Shelf]:
    topics, shelf = Topics(known), Shelf()
    return PublishJourneys(shelf=shelf, topics=topics, moved=nothing_moved), topics, shelf


async def test_a_topic_that_nobody_knows_is_refused_with_its_place_and_the_nearest() -> None:
    publish, _, shelf = publishing(["offers"])
    with pytest.raises(JourneyInvalidError) as refused:
        await publish(DEFAULT, [Written("j.yaml", TEXT)], PINNED, NOW)
    assert [one.sentence for one in refused.value.complaints] == [
        (
            "j.yaml:5:40: cadence.caps[0].topic: no template and no brand has the topic 'ofers', "
            "did you mean 'offers'?"
        ),
        (
            "j.yaml:8:14: steps[1].update.opt_out: no template and no brand has the topic 'newss', "
            "did you mean 'news'?"
        ),
    ]
    assert shelf.published == []


async def test_a_topic_of_a_template_that_comes_along_is_known() -> None:
    publish, topics, shelf = publishing([])
    text = "schema: 1\njourney: j\ntrigger: {event: contact.created}\nsteps:\n"
    text += "  - send: {template: hello, topic: news}\n"
    await publish(DEFAULT, [Written("j.yaml", text)], PINNED, NOW)
    assert len(shelf.published) == 1
    assert topics.asked == 0


async def test_while_nobody_can_say_which_topics_there_are_none_is_refused() -> None:
    publish, topics, shelf = publishing(None)
    await publish(DEFAULT, [Written("j.yaml", TEXT)], PINNED, NOW)
    assert (topics.asked, len(shelf.published)) == (1, 1)


async def test_an_unknown_topic_is_said_beside_what_else_is_wrong() -> None:
    publish, _, _ = publishing(["offers"])
    source = Written("j.yaml", TEXT.replace("template: hello", "template: helo"))
    with pytest.raises(JourneyInvalidError) as refused:
        await publish(DEFAULT, [source], PINNED, NOW)
    assert len(refused.value.complaints) == 3


async def test_the_sender_is_asked_for_the_topics_of_its_templates_and_of_the_brand() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["Chappe-Workspace"] == "default"
        if request.url.path.endswith("/brand"):
            return httpx.Response(200, json={"topics": {"offers": {"en": "Offers"}}})
        more = request.url.params.get("cursor")
        topic = "news" if more else None
        return httpx.Response(
            200, json={"items": [{"topic": topic}], "next": None if more else "two"}
        )

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        topics = HttpTopics(client, "http://sender.test", "t")
        assert await topics.known(DEFAULT) == {"offers", "news"}


@pytest.mark.parametrize(
    "answer",
    [httpx.Response(500), httpx.Response(200, text="<html>"), httpx.Response(200, json=[1])],
)
async def test_a_sender_that_answers_oddly_says_nothing(answer: httpx.Response) -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer)) as client:
        assert await HttpTopics(client, "http://sender.test", "t").known(DEFAULT) is None


async def test_a_draft_reads_back_as_what_was_kept() -> None:
    text = TEXT.replace("filter: {topic: {offers: subscribed}}", 'filter: {contact.zip: "08000"}')
    draft = canonical_json(read_journey(text))
    source = drafted("j", draft)
    assert source.file == "j.draft.yaml"
    assert canonical_json(read_journey(source.text)) == draft
