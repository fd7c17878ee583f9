"""How `gateway tail` subscribes and comes back, against a broker made of a list."""

import asyncio
import io
from collections.abc import Sequence

import pytest
from rich.console import Console

from gateway.cli import tail
from gateway.cli.subscriber import MessagePrinter, auditor_of
from gateway.cli.terminal import Screen
from gateway.core.errors import NotConnected, Permanent
from gateway.sinks.mqtt import client
from gateway.sinks.mqtt.config import MqttConfig
from gateway.sinks.mqtt.plugin import MqttPlugin


class Client:
    """Refuses some filters; its connections end when `end` is called."""

    refused: Sequence[str] = ()

    def __init__(self, config: MqttConfig, *, client_id: str, resume: bool) -> None:
        self.resumed = False
        self.resume, self.client_id = resume, client_id
        self.filters: list[str] = []
        self.opened = 0
        self.forgotten = False

    async def open(self) -> None:
        self.opened += 1

    async def subscribe(self, topic_filter: str) -> None:
        if topic_filter in self.refused:
            raise Permanent(f"the broker refuses the subscription: {topic_filter}")
        self.filters.append(topic_filter)

    async def receive(self) -> None:
        raise NotConnected("gone")

    async def lost(self) -> str:
        return "gone"

    async def close(self, *, forget: bool) -> None:
        self.forgotten = forget


class Bench:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, refused: Sequence[str] = (), explicit: bool = False) -> None:
        monkeypatch.setattr(client, "MqttClient", Client)
        monkeypatch.setattr(Client, "refused", refused)
        monkeypatch.setattr(tail, "full_jitter", lambda *_: iter([0.0, 0.0]))
        self.out = io.StringIO()
        self.reading = MessagePrinter(Screen(Console(file=self.out, width=200)), auditor_of("plant"))
        config = MqttConfig.model_validate({"clean_start": False, "session_expiry": "10min"})
        plan = tail._Plan(MqttPlugin(), config, "plant", "here", ("plant/v1/#", "spBv1.0/#"), explicit, False)
        self.follower = tail._Follower(plan, self.reading)
        self.client = self.follower._client


async def test_a_filter_that_nobody_asked_for_may_be_refused(monkeypatch):
    bench = Bench(monkeypatch, refused=["spBv1.0/#"])
    assert not await bench.follower.connect()
    assert bench.client.filters == ["plant/v1/#"]
    assert bench.follower.filter == "plant/v1/#"
    assert "the broker refuses the subscription: spBv1.0/#" in bench.out.getvalue()


@pytest.mark.parametrize(("refused", "explicit"), [(["spBv1.0/#"], True), (["plant/v1/#", "spBv1.0/#"], False)])
async def test_what_was_asked_for_or_all_of_it_may_not(monkeypatch, refused, explicit):
    with pytest.raises(Permanent):
        await Bench(monkeypatch, refused=refused, explicit=explicit).follower.connect()


@pytest.mark.parametrize("kept", [True, False])
async def test_a_kept_session_is_not_subscribed_again(monkeypatch, kept):
    """It would bring the retained messages anew; a lost one is subscribed again, and the absence told as such."""
    bench = Bench(monkeypatch)
    await bench.follower.connect()
    bench.client.resumed = kept
    await bench.follower._reconnect()
    assert bench.client.opened == 2
    assert bench.client.filters == ["plant/v1/#", "spBv1.0/#"] * (1 if kept else 2)
    (absence,) = bench.reading.stats.absences
    assert absence.kept is kept
    assert absence.begin_s <= absence.end_s
    assert ("The broker has kept its session." in bench.out.getvalue()) is kept


async def test_who_is_stopped_while_away_was_away_and_leaves_nothing_behind(monkeypatch):
    bench = Bench(monkeypatch)
    await bench.follower.connect()
    monkeypatch.setattr(tail, "full_jitter", lambda *_: iter([3600.0]))
    run = asyncio.create_task(bench.follower.run())
    while "Connection lost" not in bench.out.getvalue():
        await asyncio.sleep(0)
    run.cancel()
    await asyncio.wait([run])
    await bench.follower.close()
    (absence,) = bench.reading.stats.absences
    assert not absence.kept
    assert bench.client.forgotten


def test_each_tail_is_a_client_of_its_own(monkeypatch):
    """Two of them, or one and the gateway, would throw each other out."""
    first, second = Bench(monkeypatch).client, Bench(monkeypatch).client
    assert first.client_id.startswith("gateway-tail-")
    assert first.client_id != second.client_id
    assert first.resume
