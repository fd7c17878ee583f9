"""Texts of servers that do not know UTF-8."""

import orjson
from asyncua import ua
from hypothesis import given
from hypothesis import strategies as st

from gateway.sources.opcua.client.responses import plain
from gateway.sources.opcua.codec.texts import sound


def as_received(text: bytes) -> str:
    """As asyncua decodes it."""
    return text.decode("utf-8", "surrogateescape")


@given(st.binary())
def test_every_text_can_be_published(text: bytes):
    assert orjson.loads(orjson.dumps(sound(as_received(text)))) is not None


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_sound_text_stays_as_it_is(text: str):
    assert sound(text) == text


def test_what_cannot_be_read_is_marked_and_the_rest_stays():
    latin = as_received("Kühlung".encode("latin-1"))
    assert sound(latin) == "K\ufffdhlung"
    assert plain([latin, ua.LocalizedText(latin), ua.Variant(latin)]) == ["K\ufffdhlung"] * 3
    assert sound("a" + chr(0xD83D)) == "a\ufffd"
