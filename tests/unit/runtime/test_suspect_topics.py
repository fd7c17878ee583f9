"""A far end that hangs up for a topic or for a device: the others have their data at once, and nothing is lost unseen."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from gateway.core.messages import Lane, Message
from gateway.runtime.publisher import Publisher
from gateway.runtime.suspect_topics import SuspectTopics
from tests.support.clock import ManualClock, settle
from tests.support.mqtt_client import FakeMqttClient, Published
from tests.support.mqtt_publisher import mqtt_publisher
from tests.support.outbox_fake import FakeOutbox
from tests.unit.sinks.mqtt.test_publishing import STATUS, FakeLayout, FakeStatus

TOPICS = ("gw/oven/window", "gw/press/window", "gw/line/window")
SELDOM = ("gw/oven/stats", "gw/press/stats", "gw/line/stats", "gw/stats")


@dataclass
class Plant:
    """Three devices: a window each a second, stats each ten seconds."""

    sink: FakeMqttClient
    outbox: FakeOutbox
    clock: ManualClock
    publisher: Publisher
    task: "asyncio.Task[None]"
    born: dict[int, float] = field(default_factory=dict)
    ages: dict[str, list[float]] = field(default_factory=dict)

    def put(self, topic: str) -> None:
        self.outbox.put_next(topic=topic)
        self.born[len(self.outbox.messages)] = self.clock.monotonic()

    async def run(self, seconds: int) -> None:
        """The acks of each moment are dated, so that `ages` says how late each message has arrived."""
        for second in range(seconds):
            for topic in TOPICS if second % 10 else (*SELDOM, *TOPICS):
                self.put(topic)
            for _ in range(10):
                seen = len(self.outbox.acked)
                await self.clock.advance(0.1)
                for message in self.outbox.acked[seen:]:
                    self.ages.setdefault(message.topic, []).append(self.clock.monotonic() - self.born[message.seq])

    def prompt(self, topic: str, within_s: float = 3.0) -> float:
        """Share of the messages of a topic that arrived within so long."""
        made = sum(message.topic == topic for message in self.outbox.messages)
        return sum(age <= within_s for age in self.ages.get(topic, [])) / made


@pytest.fixture
async def plant() -> AsyncIterator[Plant]:
    sink, outbox, clock = FakeMqttClient(), FakeOutbox(), ManualClock()
    publisher = mqtt_publisher(
        sink, outbox, clock, in_flight=20, ack_timeout_s=60.0, layout=FakeLayout(), status=FakeStatus(),
        delays=lambda: iter([0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, *[60.0] * 1000]),
    )  # fmt: skip
    plant = Plant(sink, outbox, clock, publisher, asyncio.create_task(publisher.run()))
    await settle()
    yield plant
    plant.task.cancel()
    await asyncio.gather(plant.task, return_exceptions=True)
    assert outbox.in_flight == {}, "every delivery ends in an ack, a refusal or a release"


def hangs_up_for(part: str) -> Callable[[Published], str | None]:
    return lambda published: "the broker closed the connection" if part in published.topic else None


@pytest.mark.parametrize("part", ["/oven/", "/oven/window", "gw/oven/stats", "gw/stats"])
async def test_the_others_have_their_data_while_the_broker_hangs_up_for_one_topic_or_device(plant: Plant, part: str) -> None:
    """Eighteen minutes: what is forbidden costs the others a second now and then; it is refused with a reason, or held."""
    plant.sink.rule = hangs_up_for(part)
    await plant.run(1080)
    for topic in (*TOPICS, *SELDOM):
        if part not in topic:
            assert plant.prompt(topic) > 0.95, (topic, plant.prompt(topic))
    assert plant.sink.opens < 30, "connections"
    refused = {message.topic for message, _ in plant.outbox.refused}
    assert all(part in topic for topic in refused), refused
    forbidden = [m for m in plant.outbox.messages if part in m.topic]
    kept = len(plant.outbox.waiting) + len(plant.outbox.in_flight)
    assert len(plant.outbox.acked) + len(plant.outbox.refused) + kept == len(plant.outbox.messages)
    assert len(plant.outbox.refused) > len(forbidden) * 0.8


async def test_what_is_allowed_again_flows_again_and_only_what_was_judged_is_lost(plant: Plant) -> None:
    plant.sink.rule = hangs_up_for("/oven/")
    await plant.run(100)
    assert plant.outbox.refused == [], "not within two minutes"
    plant.sink.rule = lambda _: None
    await plant.run(320)
    assert plant.outbox.refused == []
    assert len(plant.outbox.acked) == len(plant.outbox.messages)


async def test_a_probe_finds_out_that_a_topic_is_allowed_again_after_all_was_refused(plant: Plant) -> None:
    plant.sink.rule = hangs_up_for("/oven/")
    await plant.run(400)
    assert plant.outbox.refused
    plant.sink.rule = lambda _: None
    await plant.run(320)
    refused = len(plant.outbox.refused)
    await plant.run(20)
    assert len(plant.outbox.refused) == refused
    assert {message.topic for message in plant.outbox.acked[-20:]} >= set(TOPICS)


async def test_a_broker_that_hangs_up_at_random_costs_nothing(plant: Plant) -> None:
    every = iter(range(1, 1_000_000))
    plant.sink.rule = lambda published: "reset" if published.topic != STATUS and next(every) % 97 == 0 else None
    await plant.run(600)
    plant.sink.rule = lambda _: None
    await plant.run(150)
    assert plant.outbox.refused == []
    assert len(plant.outbox.acked) == len(plant.outbox.messages)


def message(seq: int, topic: str) -> Message:
    return Message(topic, "b", seq, Lane.WINDOW, 0, 0, b"x")


def test_a_reason_that_names_the_topic_is_believed_at_once() -> None:
    topics = SuspectTopics()
    flying = [message(1, "gw/press/window"), message(2, "gw/oven/window")]
    topics.ended(flying, 100.0, "the broker disconnects: not authorised: gw/oven/window", alone=False)
    assert topics.is_suspect("gw/oven/window")
    assert topics.is_suspect("gw/oven/stats"), "of the same device, until one has passed"
    assert not topics.is_suspect("gw/press/window")
    assert not topics.may_try(flying[1], 104.0)
    assert topics.may_try(flying[1], 106.0)


def test_one_bad_message_does_not_condemn_its_topic() -> None:
    topics = SuspectTopics()
    topics.ended([message(1, "gw/oven/window")], 100.0, "cut", alone=True)
    assert topics.was_culprit(message(1, "gw/oven/window"))
    topics.accepted(message(2, "gw/oven/window"))
    assert not topics.is_suspect("gw/oven/window")


async def test_a_status_for_which_the_broker_hangs_up_goes_last_and_the_data_flow(plant: Plant) -> None:
    plant.sink.rule = hangs_up_for(STATUS)
    await plant.run(600)
    for topic in TOPICS:
        assert plant.prompt(topic) > 0.95, (topic, plant.prompt(topic))
    assert plant.outbox.refused == []
    assert plant.sink.opens < 20
    plant.sink.rule = lambda _: None
    plant.sink.lose("cut")
    await plant.run(310)
    assert plant.sink.published[-1].topic in {*TOPICS, *SELDOM}
    assert any(published.topic == STATUS for published in plant.sink.published[-1200:]), "it is tried again"
