"""Doors to which devices, servers and brokers send: Modbus, OPC UA, MQTT, Sparkplug."""

import asyncio
import socket
import struct
from collections.abc import Callable
from functools import partial
from typing import Any, Final
from unittest import mock

from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from gateway.core.errors import GatewayError
from gateway.core.loop_watch import LoopWatch
from gateway.core.tags import Tag, TagTable
from gateway.layouts.sparkplug import wire as sparkplug
from gateway.layouts.sparkplug.host import PrimaryHost
from gateway.requests.choose import chosen_tags
from gateway.requests.request import BadRequest, read_document, read_request
from gateway.sinks.mqtt import packet_reader
from gateway.sinks.mqtt.buffered_socket import CHUNK_BYTES
from gateway.sinks.mqtt.packets import acknowledgements
from gateway.sinks.mqtt.request_properties import read_properties
from gateway.sinks.mqtt.websocket import WebSocket
from gateway.sources.modbus.framing import Framing, Wanted
from gateway.sources.modbus.framing_ascii import Ascii
from gateway.sources.modbus.framing_mbap import Mbap
from gateway.sources.modbus.framing_rtu import Rtu
from gateway.sources.modbus.receiver import Receiver
from gateway.sources.modbus.strays import Strays
from gateway.sources.opcua.client import responses
from gateway.sources.opcua.client.decoding import decode_answer
from gateway.sources.opcua.codec.bounds import MOST_ANSWER, Budget
from gateway.sources.opcua.codec.errors import WireError
from gateway.sources.opcua.codec.legacy_schema import BadDictionary, parse_dictionary
from gateway.sources.opcua.codec.types.bounded_buffer import BoundedBuffer
from gateway.sources.opcua.codec.types.data_types import Field, Structure
from gateway.sources.opcua.codec.types.structures import Types
from tests.fuzz.door import Door
from tests.hostile.modbus import ascii_frame, rtu_frame
from tests.hostile.mqtt import frame, message, packet, rebirth
from tests.support.clock import SkippingClock
from tests.unit.sources.opcua.client.test_responses import history, published, republished
from tests.unit.sources.opcua.codec.test_legacy_schema import dictionary, field, fields

# -- Modbus ------------------------------------------------------------------------------------------------------------


def _modbus(framing: Callable[[], Framing], frames: list[bytes], *, datagrams: bool = False) -> Door:
    """The first byte says in what pieces the rest comes; one request waits for a reply of two registers."""
    loop = asyncio.new_event_loop()

    async def receive(data: bytes) -> None:
        made = framing()
        receiver = Receiver(made, Strays(has_transactions=isinstance(made, Mbap)), "device", LoopWatch())
        future = receiver.expect(Wanted(1, 1, 3, 4), b"\x03\0\0\0\2", b"")
        size = (1, 7, 260, 65_536)[data[0] & 3] if data else 1
        rest = data[1:]
        for at in range(0, min(len(rest), size * 20_000), size):
            piece = rest[at : at + size]
            if datagrams:
                receiver.datagram_received(piece, ("127.0.0.1", 502))
            else:
                receiver.data_received(piece)
        future.exception() if future.done() else future.cancel()
        receiver.expire(Wanted(1, 1, 3, 4), 1.0)

    return Door(
        lambda data: loop.run_until_complete(receive(data)),
        (),
        [bytes((size,)) + one for size in range(4) for one in (*frames, b"".join(frames) * 20)],
        (*frames, b"\x01\x03", b"\x01\x83\x02", b":", b"\r\n", b"\0\0", b"\x01\x03\xff", b"\xff"),
    )


_READ, _EXCEPTION, _OTHER = b"\x01\x03\x04\0\x07\0\x08", b"\x01\x83\x02", b"\x02\x03\x02\0\x07"


def _mbap(adu: bytes) -> bytes:
    return struct.pack(">HHH", 1, 0, len(adu)) + adu


# -- OPC UA ------------------------------------------------------------------------------------------------------------


def _types() -> Types:
    """A type of the server's own, whose values are in the seeds."""
    point, encoding = ua.NodeId(1, 2), ua.NodeId(101, 2)
    parts = (Field("x", ua.NodeId(10)), Field("name", ua.NodeId(12), optional=True), Field("all", ua.NodeId(6), rank=2))
    known: dict[Any, Any] = {ua.NodeId(6): 6, ua.NodeId(10): 10, ua.NodeId(12): 12}
    return Types({**known, point: Structure("P", "optional", parts)}, {encoding: point})


def _read_response(*values: ua.Variant) -> bytes:
    response = ua.ReadResponse()
    response.Results = [ua.DataValue(one, ua.StatusCode(0)) for one in values]
    return struct_to_binary(response)


def _own_structure() -> bytes:
    """A value of the type above, in a response."""
    body = struct.pack("<If", 1, 1.5) + struct.pack("<i", 1) + b"x" + struct.pack("<iiiii", 2, 1, 2, 7, 8)
    value = b"\x16" + struct.pack("<BBHBi", 1, 2, 101, 1, len(body)) + body
    return _read_response(ua.Variant(0.5)).replace(b"\x0b" + struct.pack("<d", 0.5), value)


def _values() -> list[bytes]:
    kinds = ua.VariantType
    return [
        _read_response(ua.Variant(1.5), ua.Variant(7), ua.Variant(True), ua.Variant("text")),
        _read_response(ua.Variant([1.0, 2.0, 3.0]), ua.Variant([[1, 2], [3, 4]]), ua.Variant(["a", None])),
        _read_response(ua.Variant([ua.Variant(1), ua.Variant("x")], kinds.Variant)),
        _read_response(ua.Variant([True] * 200), ua.Variant(b"bytes"), ua.Variant(ua.LocalizedText("t", "en"))),
        _read_response(ua.Variant(ua.Range(0.0, 1.0)), ua.Variant(ua.NodeId("x", 2)), ua.Variant(ua.DiagnosticInfo(1))),
        _own_structure(),
    ]


_VARIANTS = [bytes((0x80 | kind,)) + struct.pack("<i", count) for kind in range(26) for count in (2**31 - 1, 1_000_000, 3)]


def _response(read: Callable[..., object], seeds: list[bytes]) -> Door:
    """As a session decodes it: short answers at once, long ones on a thread, which does not count as time of the loop."""
    loop = asyncio.new_event_loop()

    def call(data: bytes) -> None:
        answer = BoundedBuffer(data, budget=Budget(MOST_ANSWER))
        loop.run_until_complete(decode_answer(answer, partial(read, types=_types())))

    return Door(
        call,
        (WireError, ua.UaError),
        seeds,
        (*_VARIANTS, b"\x16\x01\x02\x65\0\x01", b"\xff\xff\xff\xff", b"\x40" * 100, b"\x18\x98", b"\xc0\0\0\0\0\2\0\0\0"),
    )


_DICTIONARY = dictionary(
    fields(field("n", "opc:UInt32"), field("list", "tns:Q", 'LengthField="n"'), field("b", "opc:Bit", 'Length="3"'))
    + fields(field("x", "opc:Float"), name="Q")
    + '<opc:EnumeratedType Name="Mode" LengthInBits="32"><opc:EnumeratedValue Name="on" Value="1"/></opc:EnumeratedType>'
)


# -- MQTT --------------------------------------------------------------------------------------------------------------


def _packets(data: bytes) -> None:
    """Cut a stream into packets, as the connection does with each read."""
    ceilings = packet_reader.PacketCeilings(2**20, accepted=bool(data) and data[0] != packet_reader.CONNACK)
    buffer = bytearray()
    for at in range(0, len(data), CHUNK_BYTES):
        buffer += data[at : at + CHUNK_BYTES]
        while True:
            _, size = acknowledgements(buffer)
            del buffer[:size]
            whole = packet_reader.next_packet(buffer, ceilings)
            if whole is None:
                break
            begin, end = whole
            if buffer[0] & 0xF0 == packet_reader.PUBLISH:
                packet_reader.received_message(buffer[0], bytes(buffer[begin:end]), v5=True)
            assert end > 0, "no progress"
            del buffer[:end]


_KEY: Final = "dGhlIHNhbXBsZSBub25jZQ=="
_ACCEPT: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: mqtt\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
"""Key and answer of RFC 6455, 1.3: with a random key no input could be an acceptance."""


def _websocket() -> Callable[[bytes], object]:
    """The handshake, and the frames that follow it."""

    def call(data: bytes) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs, mock.patch("websockets.client.generate_key", return_value=_KEY):
            ours.settimeout(1)
            theirs.setblocking(False)
            theirs.send(data[:100_000])
            theirs.shutdown(socket.SHUT_WR)
            stream = WebSocket(ours, "ws://127.0.0.1/mqtt", 1.0, 4 * 2**20)
            while stream.fill():
                stream.skip(len(stream.incoming))

    return call


def _sparkplug(data: bytes) -> None:
    sparkplug.is_commanded(data, "Node Control/Rebirth")


def _state(data: bytes) -> None:
    PrimaryHost("scada", SkippingClock()).received("spBv1.0/STATE/scada", data)


def _request(data: bytes) -> None:
    """Read a document and, after a null character, properties, as they come with a request."""
    document, _, properties = data.partition(b"\0")
    packet_reader.large_message(bytearray(data), 64)
    read_properties(properties)
    request = read_request(read_document(document), 1_790_000_000 * 10**9)
    asyncio.run(chosen_tags(_TAGS, request.patterns))


_TAGS: Final = TagTable(("press",), tuple(Tag(n, 0, f"t{n}") for n in range(100)))

DOORS: dict[str, Callable[[], Door]] = {
    "modbus-tcp": lambda: _modbus(Mbap, [_mbap(_READ), _mbap(_EXCEPTION), _mbap(_OTHER)]),
    "modbus-udp": lambda: _modbus(Mbap, [_mbap(_READ), _mbap(_EXCEPTION), _mbap(_OTHER)], datagrams=True),
    "modbus-rtu": lambda: _modbus(Rtu, [rtu_frame(_READ), rtu_frame(_EXCEPTION), rtu_frame(_OTHER)]),
    "modbus-ascii": lambda: _modbus(Ascii, [ascii_frame(_READ), ascii_frame(_EXCEPTION), ascii_frame(_OTHER)]),
    "opcua-read": lambda: _response(responses.read_values, _values()),
    "opcua-publish": lambda: _response(responses.read_publish, [published(), republished()]),
    "opcua-republish": lambda: _response(responses.read_republish, [republished()]),
    "opcua-history": lambda: _response(responses.read_history, [history(([1.0, 2.0], b"more"), ([], None), ([3.0], None))]),
    "opcua-dictionary": lambda: Door(
        parse_dictionary,
        (BadDictionary,),
        [_DICTIONARY],
        (
            b'LengthField="',
            b'TypeName="tns:P"',
            b"<opc:Field ",
            b"/>",
            b'SwitchField="n"',
            b"<!DOCTYPE x>",
            b"&lt;",
            b"9" * 50,
        ),
    ),
    "mqtt": lambda: Door(
        _packets,
        (packet_reader.ProtocolViolation,),
        [
            b"\x20\x03\0\0\0" + message("spBv1.0/g/NCMD/test", b"x") * 3,
            packet(0x90, b"\0\1\0\1") + packet(0x40, b"\0\1") * 50 + b"\xd0\0",
            packet(0x40, b"\0\1\x10\0") + message("x", b"", b"\x07\x26\0\1a\0\1b") + packet(0xE0, b"\x8b\0"),
        ],
        (b"\x30\xff\xff\xff\x7f", b"\x40\x02\0\1", b"\x80\x80\x80\x80\1", b"\x26\0\1a\0\1b", b"\x32", b"\x34"),
    ),
    "request": lambda: Door(
        _request,
        (ValueError, BadRequest),
        [
            b'{"tags":["press/*"],"from":"-10min","to":1790000000000,"correlation":"x"}\0\x08\0\3a/b\x09\0\2xx\2\0\0\0\5',
            b'{"tags":"a/b","from":"2026-11-30T14:00+01:00","kind":"minutes","response_topic":"x"}\0\x26\0\1a\0\1b',
        ],
        (b"[" * 500, b"9" * 400, b"1e999", b"null", b"-", b"\x0b\x80\x80", b"\x08\xff\xff", b'"2026-13-01"', b"*" * 300),
    ),
    "websocket": lambda: Door(
        _websocket(),
        (GatewayError, OSError),
        [_ACCEPT + frame(2, b"\x20\x03\0\0\0"), _ACCEPT, b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nabcde"],
        (
            b"\r\n",
            b"a: b\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Content-Length: 99999999999\r\n",
            b"\x82\x7f",
            b"HTTP/1.1 101 ",
        ),
    ),
    "sparkplug": lambda: Door(
        _sparkplug, (ValueError,), [rebirth()], (b"\x12\x02", b"\x0a", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
    ),
    "state": lambda: Door(
        _state,
        (),
        [b'{"online":true,"timestamp":1790000000000}'],
        (b"[" * 500, b"9" * 400, b"1e999", b"null", b'"online"', b"-1"),
    ),
}
"""By name, as `--door` takes it."""
