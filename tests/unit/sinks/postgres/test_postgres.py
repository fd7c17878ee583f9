"""The pure parts of the sink for PostgreSQL: keys, statements, whose matter an error is, limits of what may come."""

import asyncio

import pytest
from pydantic import ValidationError

from gateway.sinks.postgres.config import PostgresConfig
from gateway.sinks.postgres.errors import Blame, blame
from gateway.sinks.postgres.guard import Guard
from gateway.sinks.postgres.tables import TABLES, VERSION, Tables


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"url": "mysql://host/db"}, "must begin with postgresql://"),
        ({"url": "postgresql://gw:s3cret@host/db"}, "must not carry user name or password"),
        ({"url": "postgresql://host"}, "the name of the database is missing"),
        ({"url": "postgresql://host:99999/db"}, "cannot be read"),
        ({"url": "postgresql://host/db?sslmode=disable"}, "nothing else"),
        ({"prefix": 'x"; DROP TABLE'}, "is no name"),
        ({"table_schema": "Public"}, "is no name"),
        ({"password": "s3cret", "password_file": "/p"}, "in two ways"),
        ({"tls": {"key": "/k"}}, "belong together"),
        ({"batch": 0}, "batch"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words_without_the_password(settings, words):
    with pytest.raises(ValidationError) as caught:
        PostgresConfig.model_validate(settings)
    assert words in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_the_address_is_taken_apart():
    config = PostgresConfig.model_validate({"url": "postgres://[::1]/my%20plant"})
    assert (config.host, config.port, config.database) == ("::1", 5432, "my plant")


@pytest.mark.parametrize(
    ("state", "whose"),
    [
        ("22P02", Blame.ROW), ("23514", Blame.ROW), ("54000", Blame.ROW), ("P0001", Blame.ROW),
        ("28P01", Blame.LOGIN), ("57P01", Blame.CONNECTION), ("08006", Blame.CONNECTION), ("53300", Blame.CONNECTION),
        ("57014", Blame.BATCH), ("53100", Blame.BATCH), ("42501", Blame.BATCH), ("25006", Blame.BATCH), ("", Blame.BATCH),
    ],
)  # fmt: skip
def test_an_error_is_the_matter_of_a_row_of_all_or_of_the_connection(state, whose):
    assert blame(state) is whose


def test_a_hypertable_has_its_time_in_the_key():
    tables = Tables("public", "gateway_")
    plain, hyper = "\n".join(tables.creation(hypertable=False)), "\n".join(tables.creation(hypertable=True))
    assert "PRIMARY KEY (gateway, boot, topic, seq, tag)\n" in plain
    assert "create_hypertable" not in plain
    assert "PRIMARY KEY (gateway, boot, topic, seq, tag, ts)\n" in hyper
    assert hyper.count("SELECT create_hypertable(") == len(TABLES)
    assert list(tables.migrations(VERSION)) == []


class Inner(asyncio.Protocol):
    """Keeps what comes."""

    def __init__(self):
        self.came = b""

    def data_received(self, data):
        self.came += data


class Wire(asyncio.Transport):
    """Knows whether it was broken."""

    is_broken = False

    def abort(self):
        self.is_broken = True


def guarded():
    inner, wire, reasons = Inner(), Wire(), []
    guard = Guard(inner, reasons.append)
    guard.attach(wire)
    return guard, inner, wire, reasons


def message(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + 4).to_bytes(4, "big") + body


LOGIN = message(b"R", b"\0\0\0\x0br=abc,s=def,i=4096") + message(b"S", b"name\0value\0") + message(b"Z", b"I")


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_login_passes_in_whatever_pieces_it_comes(size):
    guard, inner, wire, _ = guarded()
    stream = LOGIN + b"C" + b"x" * 100
    for at in range(0, len(stream), size):
        guard.data_received(stream[at : at + size])
    assert inner.came == stream
    assert not wire.is_broken


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (message(b"R", b"\0\0\0\x0br=abc,s=def,i=2000000"), "iterations"),
        (message(b"R", b"\0\0\0\x0br=abc,s=def,i=99999999999999"), "iterations"),
        (b"S\x7f\xff\xff\xff", "before the login has ended"),
        (b"HTTP/1.1 400 Bad Request", "before the login has ended"),
        (b"S\0\0\0\0", "before the login has ended"),
    ],
)
def test_a_login_that_asks_for_too_much_breaks_the_connection(stream, words):
    guard, inner, wire, reasons = guarded()
    guard.data_received(stream)
    assert wire.is_broken
    assert words in reasons[0]
    assert inner.came == b""


def test_an_answer_without_end_breaks_the_connection_and_a_new_statement_counts_anew():
    guard, _, wire, reasons = guarded()
    guard.data_received(LOGIN)
    for _ in range(10):
        guard.refill()
        guard.data_received(b"x" * (8 << 20))
    assert not wire.is_broken
    guard.data_received(b"x" * (9 << 20))
    assert wire.is_broken
    assert "16 MiB" in reasons[0]
