"""The tables and the statements that fill them. Pure: text only.

The database takes messages apart itself: one statement per table gets messages as arrays, and `jsonb_each` makes a row of
each tag. So a row costs the gateway next to nothing, and what a row may be is decided in one place.
"""

from collections.abc import Iterator
from typing import Final

VERSION: Final = 1
"""Of the tables. A new version adds statements to `migrations`, and never takes a column away."""
WINDOWS, EVENTS, VALUES, MESSAGES = "windows", "events", "values", "messages"
TABLES: Final = (WINDOWS, EVENTS, VALUES, MESSAGES)
STREAMS: Final = {"window": WINDOWS, "summary": WINDOWS, "event": EVENTS, "value": VALUES}
"""By the stream of a message; all others go to `messages`."""

_GENERAL: Final = """
    gateway text NOT NULL,
    boot text NOT NULL,
    topic text NOT NULL,
    seq bigint NOT NULL,
    device text NOT NULL,
    stream text NOT NULL,
    ts timestamptz NOT NULL,
    hist boolean NOT NULL,"""
_COLUMNS: Final = {
    WINDOWS: """
    tag text NOT NULL,
    dur_ms integer,
    n integer,
    good integer,
    used integer,
    min double precision,
    max double precision,
    mean double precision,
    std double precision,
    first double precision,
    last double precision,
    last_ts timestamptz,
    q text,
    reason text,
    late boolean NOT NULL,
    replaces boolean NOT NULL,""",
    EVENTS: """
    tag text,
    kind text NOT NULL,
    severity integer,
    state text,
    body jsonb NOT NULL,""",
    VALUES: """
    tag text NOT NULL,
    value jsonb,
    value_ts timestamptz,
    q text,
    reason text,
    late boolean NOT NULL,""",
    MESSAGES: """
    body jsonb NOT NULL,""",
}
_KEY: Final = ("gateway", "boot", "topic", "seq")
_KEYS: Final = {
    WINDOWS: (*_KEY, "tag"),
    EVENTS: _KEY,
    VALUES: (*_KEY, "tag"),
    MESSAGES: _KEY,
}
_FROM: Final = """
FROM unnest($2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::boolean[], $8::jsonb[])
    AS m(boot, topic, seq, device, stream, hist, body)"""
_TAGS: Final = """
CROSS JOIN LATERAL jsonb_each(m.body->'tags') AS t(tag, body)
CROSS JOIN LATERAL jsonb_to_record(t.body) AS r({columns})
WHERE $9::text[] IS NULL OR t.tag = ANY($9::text[])"""
_WINDOW_FIELDS: Final = (
    "n integer, good integer, used integer, min double precision, max double precision, mean double precision, "
    "std double precision, first double precision, last double precision, last_ts bigint, q text, reason text"
)
_HEAD: Final = "gateway, boot, topic, seq, device, stream, ts, hist"
_HEAD_VALUES: Final = (
    "$1, m.boot, m.topic, m.seq, m.device, m.stream, to_timestamp((m.body->>'ts')::bigint / 1000.0), m.hist"
)
_NO_TAGS: Final = "\nWHERE $9::text[] IS NULL OR true"


def _time(expression: str) -> str:
    return f"to_timestamp({expression} / 1000.0)"


def _flag(name: str) -> str:
    return f"coalesce((m.body->>'{name}')::boolean, false)"


_INSERTS: Final = {
    WINDOWS: (
        "tag, dur_ms, n, good, used, min, max, mean, std, first, last, last_ts, q, reason, late, replaces",
        f"t.tag, (m.body->>'dur')::integer, r.n, r.good, r.used, r.min, r.max, r.mean, r.std, r.first, r.last, "
        f"{_time('r.last_ts')}, r.q, r.reason, {_flag('late')}, {_flag('replaces')}",
        _TAGS.format(columns=_WINDOW_FIELDS),
    ),
    EVENTS: (
        "tag, kind, severity, state, body",
        "m.body->>'tag', m.body->>'kind', (m.body->>'severity')::numeric::integer, m.body->>'state', m.body",
        _NO_TAGS,
    ),
    VALUES: (
        "tag, value, value_ts, q, reason, late",
        f"t.tag, t.body->'value', {_time('r.ts')}, r.q, r.reason, {_flag('late')}",
        _TAGS.format(columns="ts bigint, q text, reason text"),
    ),
    MESSAGES: ("body", "m.body", _NO_TAGS),
}


class Tables:
    """The tables of one schema, whose names begin with a prefix."""

    def __init__(self, schema: str, prefix: str) -> None:
        self.schema = schema
        self.prefix = prefix

    def name(self, table: str) -> str:
        """Return the full name of a table, quoted."""
        return f'"{self.schema}"."{self.prefix}{table}"'

    def creation(self, *, hypertable: bool) -> Iterator[str]:
        """Yield the statements that make what is not there. hypertable: with TimescaleDB, by `ts`."""
        yield f'CREATE SCHEMA IF NOT EXISTS "{self.schema}"'
        yield f"CREATE TABLE IF NOT EXISTS {self.name('schema_version')} (version integer NOT NULL)"
        for table in TABLES:
            key = (*_KEYS[table], "ts") if hypertable else _KEYS[table]  # which wants its time in every unique key
            constraint = f"\n    PRIMARY KEY ({', '.join(key)})"
            yield f"CREATE TABLE IF NOT EXISTS {self.name(table)} ({_GENERAL}{_COLUMNS[table]}{constraint}\n)"
            yield (
                f'CREATE INDEX IF NOT EXISTS "{self.prefix}{table}_ts" ON {self.name(table)} (device, ts DESC)'
                if table not in (WINDOWS, VALUES)
                else f'CREATE INDEX IF NOT EXISTS "{self.prefix}{table}_ts" ON {self.name(table)} (device, tag, ts DESC)'
            )
            if hypertable:
                yield f"SELECT create_hypertable('{self.name(table)}'::regclass, 'ts', if_not_exists => true)"

    def migrations(self, version: int) -> Iterator[str]:
        """Yield the statements that bring tables of a version to the newest. Version 0: they were just made."""
        if version == 0:
            yield f"INSERT INTO {self.name('schema_version')} VALUES ({VERSION})"  # noqa: S608 - names are checked

    def version(self) -> str:
        """Return the query for the version of the tables."""
        return f"SELECT max(version) FROM {self.name('schema_version')}"  # noqa: S608 - names are checked

    def insert(self, table: str) -> str:
        """Return the statement that fills a table.

        $1 gateway; $2 to $8 arrays with an element per message: boot, topic, seq, device, stream, hist, body; $9 the tags
        to take, null for all.
        """
        columns, values, source = _INSERTS[table]
        return (
            f"INSERT INTO {self.name(table)} ({_HEAD}, {columns})\nSELECT {_HEAD_VALUES}, {values}{_FROM}{source}"
            "\nON CONFLICT DO NOTHING"
        )
