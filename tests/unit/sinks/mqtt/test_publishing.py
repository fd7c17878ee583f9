"""The publisher with the MQTT sink over a fake client and a fake outbox: no sockets, time moves at a call."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest
import structlog

from gateway.core.errors import GatewayError, Permanent, Retryable
from gateway.core.messages import Message
from gateway.core.ports.layout import Packet, Properties
from gateway.runtime.publisher import Publisher
from tests.support.clock import ManualClock, settle
from tests.support.mqtt_client import FakeMqttClient
from tests.support.mqtt_publisher import mqtt_publisher
from tests.support.network import until
from tests.support.outbox_fake import FakeOutbox

STATUS = "gw/status"
MANY = "gw/d/many"


class FakeLayout:
    """Marks what is from backlog; sends a message on topic `gw/d/many` as three packets."""

    def packets(self, message: Message, *, hist: bool, most_bytes: int) -> Sequence[Packet]:
        payload = b"hist " + message.payload if hist else message.payload
        parts = [payload + mark for mark in (b"a", b"b", b"c")] if message.topic == MANY else [payload]
        return [Packet(message.topic, part, properties=Properties(user=(("most", str(most_bytes)),))) for part in parts]


class FakeStatus:
    def __init__(self) -> None:
        self.payload = b"online 0"
        self._news = asyncio.Event()

    def set(self, payload: bytes) -> None:
        self.payload = payload
        self._news.set()

    def current(self) -> tuple[str, bytes]:
        self._news.clear()
        return STATUS, self.payload

    async def changed(self) -> None:
        await self._news.wait()

    def offline(self, reason: str) -> tuple[str, bytes]:
        return STATUS, reason.encode()


@dataclass
class Bench:
    sink: FakeMqttClient
    outbox: FakeOutbox
    clock: ManualClock
    status: FakeStatus
    publisher: Publisher
    task: "asyncio.Task[None]"

    @property
    def payloads(self) -> list[bytes]:
        return [published.payload for published in self.sink.published if published.topic != STATUS]

    @property
    def told(self) -> list[bytes]:
        return [published.payload for published in self.sink.published if published.topic == STATUS]

    async def lose(self) -> None:
        self.sink.lose("cut")
        await settle()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    sink, outbox, clock, status = FakeMqttClient(), FakeOutbox(), ManualClock(), FakeStatus()
    publisher = mqtt_publisher(
        sink,
        outbox,
        clock,
        in_flight=4,
        ack_timeout_s=5.0,
        layout=FakeLayout(),
        status=status,
        delays=lambda: iter([1.0, 2.0, 4.0, *[8.0] * 1000]),
    )
    bench = Bench(sink, outbox, clock, status, publisher, asyncio.create_task(publisher.run()))
    await settle()
    yield bench
    bench.task.cancel()
    await asyncio.gather(bench.task, return_exceptions=True)
    assert outbox.in_flight == {}, "every delivery ends in an ack, a refusal or a release"


async def test_the_birth_goes_first_and_retained(bench: Bench) -> None:
    bench.outbox.put_next()
    await settle()
    first = bench.sink.published[0]
    assert (first.topic, first.payload, first.retain) == (STATUS, b"online 0", True)
    assert bench.payloads == [b"1"]
    assert bench.outbox.journal == ["live", "ack 1"]


async def test_what_waited_before_the_connection_goes_as_history(bench: Bench) -> None:
    await bench.lose()
    bench.outbox.put_next()
    await bench.clock.advance(1)
    bench.outbox.put_next()
    await settle()
    assert bench.payloads == [b"hist 1", b"2"]


async def test_no_more_than_in_flight_are_on_their_way(bench: Bench) -> None:
    bench.sink.auto_ack = False
    bench.outbox.put_next(10)
    await settle()
    assert len(bench.payloads) == 4
    bench.sink.ack(2)
    await settle()
    assert len(bench.payloads) == 6


async def test_a_loss_gives_everything_back_after_the_end_of_live(bench: Bench) -> None:
    bench.sink.auto_ack = False
    bench.outbox.put_next(2)
    await settle()
    await bench.lose()
    assert bench.outbox.journal == ["live", "not live", "release 1", "release 2"]
    assert not bench.publisher.is_connected
    bench.sink.auto_ack = True
    await bench.clock.advance(1)
    assert bench.payloads == [b"1", b"2", b"hist 1", b"hist 2"]
    assert (bench.publisher.sent, bench.publisher.acked, bench.publisher.connects) == (4, 2, 2)


async def test_a_permanent_refusal_sets_aside_and_goes_on(bench: Bench) -> None:
    bench.sink.answers = [Permanent("too large")]
    bench.outbox.put_next(2)
    await settle()
    assert bench.outbox.journal == ["live", "refuse 1 too large", "ack 2"]
    assert bench.publisher.refused == 1


async def test_a_broker_that_accepts_nothing_costs_no_message(bench: Bench) -> None:
    """A mistake in its access list: status and messages are refused for good, and kept until the mistake is mended."""
    await bench.lose()
    bench.outbox.put_next(2)
    bench.sink.answers = [Permanent("not authorised")] * 5
    await bench.clock.advance(1)
    await bench.clock.advance(10)
    assert not [entry for entry in bench.outbox.journal if entry.startswith("refuse")]
    assert bench.outbox.journal[-2:] == ["ack 1", "ack 2"]
    assert bench.publisher.refused == 0
    bench.sink.answers = [Permanent("too large")]
    bench.outbox.put_next()
    await settle()
    assert bench.outbox.journal[-1] == "refuse 3 too large", "now that something was accepted, it is the message"


async def test_a_refusal_for_now_gives_back_and_pauses(bench: Bench) -> None:
    bench.sink.answers = [Retryable("quota"), Retryable("quota")]
    bench.outbox.put_next(2)
    await settle()
    assert bench.outbox.journal == ["live", "release 1", "release 2"]
    bench.outbox.put_next()
    await bench.clock.advance(0.9)
    assert len(bench.payloads) == 2
    await bench.clock.advance(0.2)
    assert bench.payloads[2:] == [b"hist 1", b"hist 2", b"3"]


async def test_a_delivery_of_several_packets_is_acknowledged_with_its_last(bench: Bench) -> None:
    bench.sink.auto_ack = False
    bench.sink.most_bytes = 77
    bench.outbox.put_next(topic=MANY)
    await settle()
    assert bench.payloads == [b"1a", b"1b", b"1c"]
    assert bench.sink.published[-1].properties.user == (("most", "77"),)
    bench.sink.ack(2)
    await settle()
    assert bench.outbox.journal == ["live"]
    bench.sink.ack()
    await settle()
    assert bench.outbox.journal == ["live", "ack 1"]
    assert (bench.publisher.sent, bench.publisher.acked) == (1, 1)


async def test_packets_wait_for_room_one_by_one(bench: Bench) -> None:
    bench.sink.auto_ack = False
    bench.outbox.put_next(3, topic=MANY)
    await settle()
    assert bench.payloads == [b"1a", b"1b", b"1c", b"2a"]
    bench.sink.ack(3)
    await settle()
    assert bench.payloads[4:] == [b"2b", b"2c", b"3a"]
    assert bench.outbox.journal == ["live", "ack 1"]


@pytest.mark.parametrize(("error", "word"), [(Permanent("no"), "refuse 2 no"), (Retryable("no"), "release 2")])
async def test_one_packet_decides_for_its_delivery(bench: Bench, error: GatewayError, word: str) -> None:
    """The others' answers count no more, and what is not sent yet stays unsent."""
    bench.outbox.put_next()
    await settle()
    bench.sink.auto_ack = False
    bench.outbox.put_next(2, topic=MANY)
    await settle()
    first = bench.sink.waiting[0]
    first.future.set_exception(error)
    await settle()
    assert bench.outbox.journal == ["live", "ack 1", word]
    bench.sink.auto_ack = True
    bench.sink.ack(9)
    await bench.clock.advance(2)
    assert bench.outbox.journal[3:] == ["ack 3", *(["ack 2"] if "release" in word else [])]


async def test_a_loss_in_the_middle_of_a_delivery_gives_it_back_once(bench: Bench) -> None:
    bench.sink.auto_ack = False
    bench.outbox.put_next(3, topic=MANY)
    await settle()
    bench.sink.ack(2)
    await settle()
    await bench.lose()
    assert bench.outbox.journal == ["live", "not live", "release 1", "release 2", "release 3"]


BAD = "gw/d/bad"


async def with_others(bench: Bench, seconds: int) -> None:
    """One good message a second."""
    for _ in range(seconds):
        bench.outbox.put_next()
        await bench.clock.advance(1)


def tries(bench: Bench) -> int:
    return len([published for published in bench.sink.published if published.topic == BAD])


async def test_a_pause_holds_up_what_was_taken_already(bench: Bench) -> None:
    bench.sink.auto_ack = False
    bench.outbox.put_next(topic=MANY)
    bench.outbox.put_next(3)
    await settle()
    assert bench.payloads == [b"1a", b"1b", b"1c", b"2"]
    bench.sink.waiting[0].future.set_exception(Retryable("quota"))
    bench.sink.ack(9)
    await settle()
    assert bench.payloads[4:] == [b"3"], "it waited for room when the pause began; nothing more is begun"
    bench.sink.auto_ack = True
    bench.sink.ack(9)
    await bench.clock.advance(0.8)
    assert bench.payloads[5:] == []
    await bench.clock.advance(1)
    assert b"4" in bench.payloads[5:]


async def test_a_message_refused_again_and_again_while_others_pass_is_set_aside(bench: Bench) -> None:
    bench.sink.rule = lambda published: Retryable("quota (0x97)") if published.topic == BAD else None
    await with_others(bench, 30)
    bench.outbox.put_next(topic=BAD)
    await with_others(bench, 110)
    assert bench.publisher.refused == 0, "not within two minutes"
    await with_others(bench, 90)
    refused = [entry for entry in bench.outbox.journal if entry.startswith("refuse")]
    assert len(refused) == 1
    assert refused[0].startswith("refuse 31 quota (0x97), 6 times in ")
    assert tries(bench) == 6
    assert bench.publisher.acked == 230, "each of the others, at once"
    assert not bench.outbox.waiting


@pytest.mark.parametrize("seconds", [300])
async def test_a_broker_that_refuses_everything_for_hours_costs_no_message(bench: Bench, seconds: int) -> None:
    await with_others(bench, 30)
    bench.sink.rule = lambda published: Retryable("quota (0x97)")
    bench.outbox.put_next(topic=BAD)
    await with_others(bench, seconds)
    bench.sink.rule = lambda published: None
    await with_others(bench, 60)
    assert (bench.publisher.refused, bench.publisher.acked, len(bench.outbox.waiting)) == (0, seconds + 91, 0)


@pytest.mark.parametrize("seconds", [150])
async def test_a_broker_that_takes_every_second_message_costs_none(bench: Bench, seconds: int) -> None:
    chance = random.Random(5)
    bench.sink.rule = lambda published: Retryable("quota (0x97)") if chance.random() < 0.5 else None
    await with_others(bench, seconds)
    bench.sink.rule = lambda published: None
    await with_others(bench, 100)
    assert (bench.publisher.refused, bench.publisher.acked, len(bench.outbox.waiting)) == (0, seconds + 100, 0)


@pytest.mark.parametrize(("seconds", "set_aside"), [(300, 50)])
async def test_a_topic_that_is_refused_for_good_in_its_own_way_is_set_aside_message_by_message(
    bench: Bench, seconds: int, set_aside: int
) -> None:
    """Each second one message on a topic that the broker never takes (0x83): the others pass at once."""
    bench.sink.rule = lambda published: Retryable("rule (0x83)") if published.topic == BAD else None
    await with_others(bench, 30)
    for _ in range(seconds):
        bench.outbox.put_next(topic=BAD)
        await with_others(bench, 1)
    assert bench.publisher.acked == seconds + 30
    assert bench.publisher.refused > set_aside
    assert bench.publisher.refused + len(bench.outbox.waiting) + len(bench.outbox.in_flight) == seconds


async def test_a_message_that_makes_the_broker_hang_up_is_found_and_set_aside(bench: Bench) -> None:
    bench.sink.rule = lambda published: "packet too large (0x95)" if published.topic == BAD else None
    await with_others(bench, 30)
    bench.outbox.put_next(topic=BAD)
    bench.outbox.put_next(3)
    await with_others(bench, 400)
    refused = [entry for entry in bench.outbox.journal if entry.startswith("refuse")]
    assert len(refused) == 1
    assert refused[0].startswith("refuse 31 sending it ended the connection 6 times in ")
    assert refused[0].endswith("at last: packet too large (0x95)")
    assert bench.publisher.acked == 433
    assert tries(bench) <= 6 + 2, "twice among others"


@pytest.mark.parametrize("seconds", [200])
async def test_connections_that_break_at_random_cost_no_message(bench: Bench, seconds: int) -> None:
    chance = random.Random(7)
    bench.sink.rule = lambda published: "reset" if chance.random() < 0.1 else None
    await with_others(bench, seconds)
    bench.sink.rule = lambda published: None
    await with_others(bench, 100)
    assert (bench.publisher.refused, bench.publisher.acked, len(bench.outbox.waiting)) == (0, seconds + 100, 0)


async def test_a_message_held_up_is_given_back_when_the_connection_goes(bench: Bench) -> None:
    await with_others(bench, 30)
    bench.sink.rule = lambda published: Retryable("quota (0x97)") if published.topic == BAD else None
    bench.outbox.put_next(topic=BAD)
    await settle()
    assert len(bench.outbox.in_flight) == 1, "not given back: it would come again at once"
    await bench.lose()
    assert bench.outbox.journal[-1] == "release 31"
    bench.sink.rule = lambda published: None
    await bench.clock.advance(1.5)
    assert tries(bench) == 1, "not before its time on the new connection either"
    await bench.clock.advance(5)
    assert bench.payloads[-1] == b"hist 31"
    assert bench.outbox.journal[-1] == "ack 31"


async def test_silence_after_a_publish_counts_as_a_loss(bench: Bench) -> None:
    bench.sink.auto_ack = False
    bench.outbox.put_next()
    await settle()
    await bench.clock.advance(4.8)
    assert bench.sink.is_open
    await bench.clock.advance(0.4)
    assert bench.sink.closes == 1
    assert bench.outbox.journal[-1] == "release 1"


async def test_a_slow_broker_is_not_a_lost_one(bench: Bench) -> None:
    bench.sink.auto_ack = False
    bench.outbox.put_next(4)
    await settle()
    for _ in range(4):
        await bench.clock.advance(4)
        bench.sink.ack()
        await settle()
    assert bench.sink.closes == 0


async def test_a_slow_broker_with_much_in_flight_is_not_a_lost_one_either(bench: Bench) -> None:
    """Each message waits longer than ten timeouts, but none is overtaken."""
    bench.sink.auto_ack = False
    bench.outbox.put_next(40)
    await settle()
    for _ in range(40):
        await bench.clock.advance(4.8)
        bench.sink.ack()
        await settle()
    assert (bench.sink.closes, bench.publisher.acked) == (0, 40)


async def test_a_puback_that_was_overtaken_ten_timeouts_ago_is_lost(bench: Bench) -> None:
    bench.sink.auto_ack = False
    bench.outbox.put_next(200)
    await settle()
    await bench.clock.advance(1)
    for second in range(53):
        assert second > 50 or bench.sink.closes == 0, second
        if bench.sink.is_open:
            bench.sink.waiting[-1].future.set_result(None)
        await bench.clock.advance(1)
    assert bench.sink.closes == 1
    assert "release 1" in bench.outbox.journal


async def test_connections_that_do_not_last_give_a_hint_once(bench: Bench) -> None:
    with structlog.testing.capture_logs() as logs:
        for _ in range(6):
            await bench.lose()
            await bench.clock.advance(9)
    hints = [entry for entry in logs if "hint" in entry]
    assert len(hints) == 1
    assert "another gateway with this name" in hints[0]["hint"]
    assert hints[0]["in_a_row"] == 3


async def test_connections_that_last_give_none(bench: Bench) -> None:
    with structlog.testing.capture_logs() as logs:
        for _ in range(6):
            await bench.clock.advance(40)
            await bench.lose()
    assert not [entry for entry in logs if "hint" in entry]


async def test_the_first_attempt_may_wait_and_a_stop_does_not() -> None:
    sink, outbox, clock = FakeMqttClient(), FakeOutbox(), ManualClock()
    publisher = mqtt_publisher(
        sink, outbox, clock, in_flight=4, ack_timeout_s=5, layout=FakeLayout(), status=FakeStatus(),
        first_delay_s=7.0,
    )  # fmt: skip
    run = asyncio.create_task(publisher.run())
    await clock.advance(6.5)
    assert sink.opens == 0
    await clock.advance(1)
    assert sink.opens == 1
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    again = asyncio.create_task(publisher.run())
    await settle()
    await publisher.stop(1, "offline")
    await until(again.done, 1.0, "stopped while it waited")
    assert sink.opens == 1


async def test_attempts_back_off_for_ever_and_a_short_connection_does_not_reset_them(bench: Bench) -> None:
    bench.sink.refuse_open = "refused"
    await bench.lose()
    await bench.clock.advance(1 + 2)
    assert bench.sink.opens == 1
    bench.sink.refuse_open = ""
    await bench.clock.advance(4)
    assert bench.sink.opens == 2
    await bench.lose()
    await bench.clock.advance(7.5)
    assert bench.sink.opens == 2
    await bench.clock.advance(0.6)
    assert bench.sink.opens == 3


async def test_a_long_connection_resets_the_delay(bench: Bench) -> None:
    await bench.clock.advance(31)
    await bench.lose()
    await bench.clock.advance(1)
    assert bench.sink.opens == 2


async def test_only_the_newest_status_is_told(bench: Bench) -> None:
    bench.sink.auto_ack = False
    bench.status.set(b"online 1")
    await settle()
    bench.status.set(b"online 2")
    bench.status.set(b"online 3")
    bench.sink.ack(9)
    await settle()
    assert bench.told == [b"online 0", b"online 1", b"online 3"]
    assert all(published.retain for published in bench.sink.published)


async def test_stop_delivers_what_is_live_then_disconnects(bench: Bench) -> None:
    bench.outbox.put_next(10)
    stop = asyncio.create_task(bench.publisher.stop(5.0, "offline"))
    await bench.clock.advance(1)
    await stop
    assert bench.payloads == [b"%d" % n for n in range(1, 11)]
    assert bench.told[-1] == b"offline"
    assert (bench.sink.closes, bench.sink.wills, bench.task.done()) == (1, 0, True)


async def test_stop_in_the_middle_of_a_message_of_several_packets_sends_all_of_it(bench: Bench) -> None:
    bench.sink.auto_ack = False
    bench.outbox.put_next(2)
    bench.outbox.put_next(topic=MANY)  # two of its three packets find room
    await settle()
    assert bench.payloads == [b"1", b"2", b"3a", b"3b"]
    stop = asyncio.create_task(bench.publisher.stop(5.0, "offline"))
    await settle()
    bench.sink.auto_ack = True
    bench.sink.ack(4)
    await bench.clock.advance(1)
    await stop
    assert bench.payloads == [b"1", b"2", b"3a", b"3b", b"3c"]
    assert bench.outbox.journal == ["live", "ack 1", "ack 2", "ack 3", "not live"]


async def test_stop_leaves_backlog_to_the_outbox(bench: Bench) -> None:
    bench.sink.auto_ack = False
    bench.outbox.put_next(4)
    await settle()
    bench.outbox.live = False
    bench.outbox.put_next(50)
    stop = asyncio.create_task(bench.publisher.stop(5.0, "offline"))
    await settle()
    bench.sink.auto_ack = True
    bench.sink.ack(9)
    await bench.clock.advance(1)
    await stop
    assert bench.payloads == [b"1", b"2", b"3", b"4"]
    assert len(bench.outbox.waiting) == 50


async def test_stop_keeps_its_deadline_when_the_broker_is_silent(bench: Bench) -> None:
    bench.sink.auto_ack = False
    bench.outbox.put_next(10)
    await settle()
    stop = asyncio.create_task(bench.publisher.stop(2.0, "offline"))
    await bench.clock.advance(2.7)
    await stop
    assert bench.told[-1] == b"offline"
    assert len(bench.outbox.waiting) == 10


async def test_stop_without_connection_ends_at_once(bench: Bench) -> None:
    bench.sink.never_open = True
    await bench.lose()
    await bench.publisher.stop(5.0, "offline")
    assert bench.task.done()


async def test_stop_while_connecting_ends_at_once(bench: Bench) -> None:
    bench.sink.never_open = True
    await bench.lose()
    await bench.clock.advance(1)
    await bench.publisher.stop(5.0, "offline")
    await until(bench.task.done, 1.0, "run has ended")


async def test_a_bug_ends_the_run_loudly(bench: Bench) -> None:
    def broken() -> tuple[str, bytes]:
        raise KeyError("bug")

    bench.status.current = broken  # type: ignore[method-assign]
    bench.status.set(b"x")
    with pytest.raises(KeyError):
        await asyncio.wait_for(bench.task, 1)
