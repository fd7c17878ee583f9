"""From the bytes of a connection to chunks (OPC UA Part 6, 6.7.2 and 7.1.2)."""

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sources.opcua.client.chunk_buffer import BadChunk, ChunkBuffer


def chunk(kind: bytes, body: bytes, final: bytes = b"F") -> bytes:
    return kind + final + struct.pack("<I", 8 + len(body)) + body


CHUNKS = [chunk(b"ACK", bytes(20)), chunk(b"OPN", bytes(100)), chunk(b"MSG", b"a" * 300, b"C"), chunk(b"MSG", b"b")]


@given(cuts=st.lists(st.integers(0, sum(map(len, CHUNKS))), max_size=8))
def test_chunks_come_out_as_they_went_in_however_they_were_cut(cuts: list[int]) -> None:
    whole, buffer, found = b"".join(CHUNKS), ChunkBuffer(), []
    places = [0, *sorted(cuts), len(whole)]
    for begin, end in itertools.pairwise(places):
        buffer.append(whole[begin:end])
        while (one := buffer.next_chunk()) is not None:
            found.append(one)
    assert found == CHUNKS


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"MSGF" + struct.pack("<I", 60 * 2**20), "a chunk of 62,914,560 bytes; 65,536 were agreed"),
        (b"OPNF" + struct.pack("<I", 40_000), "a chunk of 40,000 bytes"),
        (b"ACKF" + struct.pack("<I", 65), "a chunk of 65 bytes"),
        (b"MSGF" + struct.pack("<I", 8), "a chunk of 8 bytes"),
        (b"MSGX" + struct.pack("<I", 20), "a chunk of an unknown kind"),
        (b"ACKC" + struct.pack("<I", 28), "a chunk of an unknown kind"),
        (b"HTT", "not OPC UA"),
    ],
)
def test_a_chunk_is_refused_at_its_header(head: bytes, reason: str) -> None:
    buffer = ChunkBuffer()
    buffer.append(CHUNKS[0] + head)
    assert buffer.next_chunk() == CHUNKS[0]
    with pytest.raises(BadChunk, match=reason):
        buffer.next_chunk()


def test_nothing_is_wrong_with_half_a_header() -> None:
    buffer = ChunkBuffer()
    buffer.append(b"MS")
    assert buffer.next_chunk() is None
