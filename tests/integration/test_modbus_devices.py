"""Devices as people report them, each as a server with its behaviour, read over real sockets."""

import asyncio
import struct
from collections import Counter
from contextlib import suppress

import pytest

from gateway.core.blocks import SampleBlock
from gateway.core.errors import NotConnected
from gateway.core.messages import DeviceState
from gateway.core.quality import Quality
from gateway.sources.modbus.plugin import ModbusPlugin
from tests.support.modbus_fake import entry
from tests.support.modbus_server import Ask, Script, ScriptedServer
from tests.support.watermarks_fake import services
from tests.unit.sources.modbus.test_framing import crc

Seen = tuple[dict[int, Counter[int]], list[DeviceState], dict[str, float | str]]


async def watched(port: int, tags: list[dict[str, object]], seconds: float, **keys: object) -> Seen:
    """Read for so long. Returns the qualities of each tag, the states, the counters. Good values are their addresses."""
    keys = {"url": f"tcp://127.0.0.1:{port}", "interval": "50ms", "timeout": "100ms"} | keys
    (source,) = ModbusPlugin().build([entry(tags, **keys)], services())
    found: dict[int, Counter[int]] = {row: Counter() for row in range(len(tags))}
    states: list[DeviceState] = []
    await source.open()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                item = await source.read()
                if isinstance(item, DeviceState):
                    states.append(item)
                elif isinstance(item, SampleBlock):
                    for tag, value, quality in zip(item.tag.tolist(), item.value, item.quality.tolist(), strict=True):
                        found[tag][quality] += 1
                        assert quality < Quality.UNCERTAIN or f"holding:{value:.0f}" == tags[tag]["address"]
    await source.close()
    return found, states, dict(source.stats()[0])


def holding(*places: int) -> list[dict[str, object]]:
    return [{"address": f"holding:{place}"} for place in places]


async def silent_on_some(ask: Ask, writer: asyncio.StreamWriter) -> None:
    """Answer everything but requests that touch 11021 to 11036, which get no byte."""
    if not set(range(ask.start, ask.start + ask.count)) & set(range(11021, 11037)):
        writer.write(ask.good())


async def test_registers_that_are_never_answered_cost_themselves(port: int) -> None:
    """Before: no good sample of any of the six for 90 s."""
    tags = holding(11018, 11020, 11021, 11030, 11036, 11040)
    async with ScriptedServer(port, silent_on_some):
        found, states, _ = await watched(port, tags, 6.0)
    assert min(found[tag][Quality.GOOD] for tag in (0, 1, 5)) > 20
    assert all(found[tag][Quality.GOOD] == 0 for tag in (2, 3, 4))
    assert states[-1].state == "degraded"
    assert "t2 (no reply within 0.1 s to holding:11021)" in states[-1].reason


def refusing(tail: bytes, length: int) -> Script:
    """Refuse register 5 with an exception whose header claims `length` bytes, and which is followed by `tail`."""

    async def script(ask: Ask, writer: asyncio.StreamWriter) -> None:
        if ask.start <= 5 < ask.start + ask.count:
            writer.write(struct.pack(">HHHBBB", ask.transaction, 0, length, ask.unit, ask.function | 0x80, 2) + tail)
        else:
            writer.write(ask.good())

    return script


@pytest.mark.parametrize("in_flight", [1, 4])
@pytest.mark.parametrize(("tail", "length"), [(b"", 4), (b"\0", 4), (b"", 2), (bytes(6), 3), (bytes(6), 9), (b"", 9)])
async def test_an_exception_with_a_wrong_length_costs_its_own_tag(
    port: int, tail: bytes, length: int, in_flight: int
) -> None:
    """Before: all tags of the device lost nine samples in ten."""
    tags = holding(0, 1, 5, 6, 200)
    async with ScriptedServer(port, refusing(tail, length)):
        found, states, stats = await watched(port, tags, 2.0, max_in_flight=in_flight)
    assert all(sum(found[tag].values()) - found[tag][Quality.GOOD] <= 1 for tag in (0, 1, 3, 4))
    assert min(found[tag][Quality.GOOD] for tag in (0, 1, 3, 4)) > 20
    assert found[2].keys() == {Quality.BAD_ADDRESS}
    assert states[-1] == DeviceState(0, "degraded", "1 of 5 tags cannot be read: t2 (illegal data address)")
    assert stats["connection_connects"] == 1


async def counts_one_too_many(ask: Ask, writer: asyncio.StreamWriter) -> None:
    pdu = ask.pdu()
    writer.write(struct.pack(">HHHB", ask.transaction, 0, len(pdu) + 2, ask.unit) + pdu)


async def test_values_with_a_length_that_is_too_long_are_read(port: int) -> None:
    async with ScriptedServer(port, counts_one_too_many):
        found, _, stats = await watched(port, holding(0, 1, 200), 1.0)
    assert all(count.keys() == {Quality.GOOD} for count in found.values())
    assert stats["timeouts"] == 0


async def always_zero(ask: Ask, writer: asyncio.StreamWriter) -> None:
    writer.write(ask.frame(ask.pdu(), transaction=0))


async def off_by_one(ask: Ask, writer: asyncio.StreamWriter) -> None:
    writer.write(ask.frame(ask.pdu(), transaction=ask.transaction - 1))


async def raw_rtu(ask: Ask, writer: asyncio.StreamWriter) -> None:
    frame = bytes((ask.unit,)) + ask.pdu()
    writer.write(frame + crc(frame))


async def now_and_then_rtu(ask: Ask, writer: asyncio.StreamWriter) -> None:
    await (raw_rtu if ask.transaction % 3 == 0 else off_by_one)(ask, writer)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (always_zero, "a reply with the transaction id 0 instead of"),
        (off_by_one, "ignore_transaction_id: true takes such replies"),
        (raw_rtu, "an RTU frame instead of Modbus TCP (rtu+tcp:// in url, or ignore_transaction_id: true"),
    ],
)
async def test_replies_without_their_transaction_id_are_refused_with_the_cure_and_read_with_it(
    port: int, script: Script, reason: str
) -> None:
    async with ScriptedServer(port, script):
        found, states, stats = await watched(port, holding(0, 200), 3.0)
        assert not any(count[Quality.GOOD] for count in found.values())
        assert int(stats["bad_replies"]) >= 3
        assert reason in states[-1].reason
        found, states, _ = await watched(port, holding(0, 200), 1.0, ignore_transaction_id=True)
        assert all(count.keys() == {Quality.GOOD} and count[Quality.GOOD] > 5 for count in found.values())
        assert states == [DeviceState(0, "ok")]


async def test_rtu_frames_between_those_of_modbus_tcp_are_read_with_the_key(port: int) -> None:
    async with ScriptedServer(port, now_and_then_rtu):
        found, states, _ = await watched(port, holding(0, 200), 2.0, ignore_transaction_id=True)
    assert all(count.keys() == {Quality.GOOD} and count[Quality.GOOD] > 10 for count in found.values())
    assert states == [DeviceState(0, "ok")]


async def test_rtu_frames_beside_the_replies_are_passed_over_and_counted(port: int) -> None:
    async def both(ask: Ask, writer: asyncio.StreamWriter) -> None:
        frame = bytes((ask.unit,)) + ask.pdu()
        writer.write(frame + crc(frame) + ask.good())

    async with ScriptedServer(port, both):
        found, _, stats = await watched(port, holding(0, 200), 1.0)
    assert all(count.keys() == {Quality.GOOD} for count in found.values())
    assert int(stats["bad_replies"]) > 10
    assert stats["connection_connects"] == 1


async def test_a_reply_just_after_the_timeout_names_the_timeout_that_it_needs(port: int) -> None:
    async def slow(ask: Ask, writer: asyncio.StreamWriter) -> None:
        asyncio.get_running_loop().call_later(0.14, writer.write, ask.good())

    async with ScriptedServer(port, slow):
        with pytest.raises(NotConnected, match=r"replies come 0\.1\d s after the request: set timeout to 300ms"):
            await watched(port, holding(0), 5.0, interval="300ms")
        found, _, _ = await watched(port, holding(0), 1.5, interval="300ms", timeout="300ms")
    assert found[0].keys() == {Quality.GOOD}


async def test_a_device_that_answers_no_request_right_after_another_names_the_pause(port: int) -> None:
    last = 0.0

    async def needs_a_rest(ask: Ask, writer: asyncio.StreamWriter) -> None:
        nonlocal last
        now = asyncio.get_running_loop().time()
        if now - last > 0.06:
            last = now
            writer.write(ask.good())

    async with ScriptedServer(port, needs_a_rest):
        _, states, _ = await watched(port, holding(0, 200), 4.0, interval="300ms")
        assert "it answers no request that follows a reply at once: add turnaround=100ms to url" in states[-1].reason
        url = f"tcp://127.0.0.1:{port}?turnaround=100ms"
        found, states, _ = await watched(port, holding(0, 200), 2.0, interval="300ms", url=url)
    assert states == [DeviceState(0, "ok")]
    assert all(count.keys() == {Quality.GOOD} for count in found.values())


async def test_a_device_that_dies_when_asked_right_after_connecting_is_found_out(port: int) -> None:
    connected: dict[asyncio.StreamWriter, bool] = {}
    accepted: dict[asyncio.StreamWriter, float] = {}

    class Server(ScriptedServer):
        def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted[writer] = asyncio.get_running_loop().time()
            super()._serve(reader, writer)

    async def fragile(ask: Ask, writer: asyncio.StreamWriter) -> None:
        is_early = asyncio.get_running_loop().time() - accepted[writer] < 0.5
        connected[writer] = connected.get(writer, not is_early)
        if connected[writer]:
            writer.write(ask.good())

    (source,) = ModbusPlugin().build(
        [entry(holding(0), url=f"tcp://127.0.0.1:{port}", interval="50ms", timeout="100ms")], services()
    )
    states: list[DeviceState] = []
    async with Server(port, fragile), asyncio.timeout(20):
        while not (states and states[-1].state == "degraded"):
            with suppress(NotConnected):
                await source.open()
                while not (states and states[-1].state == "degraded"):
                    item = await source.read()
                    states += [item] if isinstance(item, DeviceState) else []
            await source.close()
    assert "add connect_pause=1s to url" in states[-1].reason


FLOATS = struct.pack(">6f", 230.1, 229.8, 231.0, 0.0, 50.02, 1234.5)


async def swapped_floats(ask: Ask, writer: asyncio.StreamWriter) -> None:
    words = [FLOATS[at : at + 2] for at in range(0, len(FLOATS), 2)]
    swapped = b"".join(words[at ^ 1] for at in range(ask.start, ask.start + ask.count))
    writer.write(ask.frame(bytes((ask.function, len(swapped))) + swapped))


async def test_floats_in_the_wrong_word_order_name_the_right_one(port: int) -> None:
    tags: list[dict[str, object]] = [{"address": f"holding:{2 * at}", "type": "float32"} for at in range(6)]
    async with ScriptedServer(port, swapped_floats):
        for order, state in (("ABCD", "degraded"), ("CDAB", "ok")):
            device = entry(tags, url=f"tcp://127.0.0.1:{port}", byte_order=order)
            (source,) = ModbusPlugin().build([device], services())
            await source.open()
            first = await source.read()
            await source.close()
            assert isinstance(first, DeviceState)
            assert first.state == state
            assert ("with byte_order: CDAB t0 is 230.1 instead of" in first.reason) == (state == "degraded")


async def flow_computer(ask: Ask, writer: asyncio.StreamWriter) -> None:
    """From 7001 on each address holds a float32, from 5001 on an int32; each is its address."""
    code = ">f" if ask.start >= 7001 else ">i" if ask.start >= 5001 else ">H"
    values = b"".join(struct.pack(code, place) for place in range(ask.start, ask.start + ask.count))
    writer.write(ask.frame(bytes((ask.function, len(values))) + values))


async def test_registers_of_32_bits_are_read_with_the_key(port: int) -> None:
    tags: list[dict[str, object]] = [
        {"address": "holding:7001", "type": "float32"}, {"address": "holding:7003", "type": "float32"},
        {"address": "holding:5001", "type": "int32"}, {"address": "holding:5002"}, {"address": "holding:100"},
        *({"address": f"holding:{place}", "type": "float32"} for place in range(7100, 7200)),
    ]  # fmt: skip
    wide = ("holding:5001-5999", "holding:7001-7999")
    async with ScriptedServer(port, flow_computer) as server:
        found, states, _ = await watched(port, tags, 1.5, wide_registers=wide, interval="200ms")
    assert states == [DeviceState(0, "ok")]
    assert all(count.keys() == {Quality.GOOD} for count in found.values())
    assert {(ask.start, ask.count) for ask in server.asks} >= {(100, 1), (5001, 2), (7001, 1), (7003, 1)}
    assert max(ask.count for ask in server.asks) <= 62


@pytest.mark.parametrize("refuses", ["an exception", "silence"])
async def test_a_device_that_allows_only_certain_requests_gets_no_others(port: int, refuses: str) -> None:
    async def strict(ask: Ask, writer: asyncio.StreamWriter) -> None:
        if (ask.start, ask.count) in ((0, 10), (100, 20)) and not (broken and ask.start == 100):
            writer.write(ask.good())
        elif refuses == "an exception":
            writer.write(ask.exception(2))

    broken = False
    keys = {"requests": ("holding:0-9", "holding:100-119"), "interval": "100ms"}
    async with ScriptedServer(port, strict) as server:
        found, states, _ = await watched(port, holding(3, 4, 101, 119), 1.0, **keys)
        assert states == [DeviceState(0, "ok")]
        assert all(count.keys() == {Quality.GOOD} for count in found.values())
        broken = True
        found, states, _ = await watched(port, holding(3, 4, 101, 119), 3.0, **keys)
    assert found[0][Quality.GOOD] > 10
    assert found[2][Quality.GOOD] == 0
    assert states[-1].state == "degraded"
    assert {(ask.start, ask.count) for ask in server.asks} == {(0, 10), (100, 20)}
