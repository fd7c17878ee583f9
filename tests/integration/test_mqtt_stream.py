"""The buffered socket: what is taken is sent in order, nothing is taken beyond a limit, a DISCONNECT comes last."""

import socket
from collections.abc import Iterator

import pytest

from gateway.sinks.mqtt.buffered_socket import BufferedSocket

DISCONNECT = b"\xe0\x00"


@pytest.fixture
def pair() -> Iterator[tuple[BufferedSocket, socket.socket]]:
    near, far = socket.socketpair()
    stream = BufferedSocket(near)
    stream.setblocking(False)
    far.settimeout(5)
    yield stream, far
    stream.close()
    far.close()


def fill(stream: BufferedSocket) -> int:
    """Send until it takes no more; returns how many bytes it took."""
    taken = 0
    while taken < 100_000_000:
        try:
            taken += stream.send(b"x" * 10_000)
        except BlockingIOError:
            return taken
        stream.flush()
    raise AssertionError("it takes without end")


def test_many_packets_go_out_together_at_the_flush(pair: tuple[BufferedSocket, socket.socket]) -> None:
    stream, far = pair
    for n in range(100):
        assert stream.send(b"%03d" % n) == 3
    assert stream.unsent
    far.setblocking(False)
    with pytest.raises(BlockingIOError):
        far.recv(1)
    stream.flush()
    assert not stream.unsent
    assert far.recv(1000) == b"".join(b"%03d" % n for n in range(100))


def test_one_read_of_the_socket_serves_many_small_ones(pair: tuple[BufferedSocket, socket.socket]) -> None:
    stream, far = pair
    far.sendall(b"abcdef")
    assert stream.fill()
    stream.skip(2)
    assert (bytes(stream.incoming), stream.hidden) == (b"cdef", False)
    with pytest.raises(BlockingIOError):
        stream.fill()
    far.close()
    assert not stream.fill()
    assert stream.incoming == b"cdef"


def test_answers_count_until_everything_is_out(pair: tuple[BufferedSocket, socket.socket]) -> None:
    stream, far = pair
    taken = fill(stream)
    stream.put_answer(b"answer")
    stream.flush()
    assert stream.answer_bytes == 6
    got = 0
    while got < taken + 6:
        got += len(far.recv(1_000_000))
        stream.flush()
    assert stream.answer_bytes == 0


def test_a_reader_that_stands_still_stops_the_writer_and_loses_nothing(pair: tuple[BufferedSocket, socket.socket]) -> None:
    stream, far = pair
    taken = fill(stream)
    assert stream.unsent
    got = 0
    while got < taken:
        got += len(far.recv(1_000_000))
        stream.flush()
    assert (got, stream.unsent) == (taken, False)


def test_a_disconnect_is_not_taken_before_everything_else_is_out(pair: tuple[BufferedSocket, socket.socket]) -> None:
    stream, far = pair
    taken = fill(stream)
    with pytest.raises(BlockingIOError):
        stream.send(DISCONNECT)
    got = b""
    while len(got) < taken:
        got += far.recv(1_000_000)
        stream.flush()
    assert stream.send(DISCONNECT) == 2
    assert not stream.unsent, "sent at once: paho closes the socket next"
    assert far.recv(10) == DISCONNECT


def test_a_broken_socket_says_so(pair: tuple[BufferedSocket, socket.socket]) -> None:
    stream, far = pair
    far.close()
    stream.send(b"x")
    with pytest.raises(OSError, match=r"Broken pipe|reset"):
        stream.flush()
