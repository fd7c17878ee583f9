"""One connection to the database, on asyncpg."""

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any, Final, cast

import asyncpg

from gateway.core.errors import NotConnected
from gateway.core.foreign_text import LONGEST_TEXT, clean
from gateway.sinks.access.certificates import Certificate, in_use
from gateway.sinks.access.reasons import unreachable
from gateway.sinks.access.secret import read_secret
from gateway.sinks.access.tls import tls_context
from gateway.sinks.postgres.config import PostgresConfig
from gateway.sinks.postgres.errors import Blame, blame
from gateway.sinks.postgres.guard import MALFORMED, GuardedLoop
from gateway.sinks.postgres.tables import TABLES, Tables

_CLOSE_S: Final = 1.0


class Refused(Exception):
    """A statement that the database has refused."""

    def __init__(self, blame: Blame, reason: str) -> None:
        """blame: whose matter it is, never the connection's. reason: for people."""
        super().__init__(reason)
        self.blame = blame
        self.reason = reason


class Database:
    """A connection. `insert` one at a time; a cancelled or failed one is of no effect."""

    def __init__(self, config: PostgresConfig, gateway: str, client: str) -> None:
        """Connect nothing yet. gateway: goes into every row. client: the name that the database shows."""
        self._config = config
        self._gateway = gateway
        self._client = client
        self.tables = Tables(config.table_schema, config.prefix)
        self._inserts = {table: self.tables.insert(table) for table in TABLES}
        self._loop: GuardedLoop | None = None
        self._connection: asyncpg.Connection[Any] | None = None
        self.lost: asyncio.Event = asyncio.Event()
        """The connection has gone."""

    @property
    def certificates(self) -> Sequence[Certificate]:
        """Return the database's certificate and the gateway's own. Reads a file."""
        tls, loop = self._config.tls, self._loop
        return in_use(loop.peer if loop is not None else b"", tls.cert if tls is not None else None)

    async def open(self) -> None:
        """Connect, and make the tables where that is allowed. Raises NotConnected."""
        config = self._config
        context, password = await asyncio.to_thread(self._read_files)
        self.lost = lost = asyncio.Event()
        loop = self._loop = GuardedLoop()
        connecting = asyncio.create_task(self._connect(loop, lost, context, password), name="postgres connect")
        try:
            done, _ = await asyncio.wait({connecting}, timeout=config.connect_timeout / 1e9)
            if not done:
                raise TimeoutError
            connecting.result()
        except asyncpg.PostgresError as error:
            raise self._not_connected(error) from None
        except (OSError, TimeoutError, *MALFORMED) as error:
            if loop.reason:
                raise NotConnected(f"{config.host}:{config.port}: {loop.reason}: is this PostgreSQL?") from None
            raise unreachable(error, config.host, config.port, "postgres") from None
        finally:
            if not connecting.done():  # a cancelled statement waits for the database's answer, unless the connection breaks
                loop.abort()
                connecting.cancel()
                await asyncio.wait({connecting}, timeout=_CLOSE_S)
            if connecting.done() and not connecting.cancelled():
                connecting.exception()  # counts as seen: the reason is the time

    async def _connect(self, loop: GuardedLoop, lost: asyncio.Event, context: ssl.SSLContext | None, password: str) -> None:
        config = self._config
        self._connection = await asyncpg.connect(
            host=config.host,
            port=config.port,
            user=config.username,
            password=password,
            database=config.database,
            ssl=context or False,
            loop=cast(asyncio.AbstractEventLoop, loop),
            server_settings={"application_name": self._client, "timezone": "UTC"},
        )
        self._connection.add_termination_listener(lambda _: lost.set())
        await self._prepare(self._connection)

    async def insert(self, table: str, columns: Sequence[Sequence[Any]], tags: Sequence[str] | None = None) -> None:
        """Write messages to a table in one transaction; what is there already stays. columns, tags: `Tables.insert`.

        Raises Refused, and NotConnected where the connection has ended.
        """
        connection = self._connection
        if connection is None or connection.is_closed():
            raise NotConnected("the connection has ended")
        if self._loop is not None:
            self._loop.refill()
        try:
            async with asyncio.timeout(self._config.timeout / 1e9):
                await connection.execute(self._inserts[table], self._gateway, *columns, tags)
        except asyncpg.PostgresError as error:
            if (whose := blame(error.sqlstate or "")) in (Blame.BATCH, Blame.ROW):
                raise Refused(whose, _words(error)) from None
            raise self._not_connected(error) from None
        except TimeoutError:
            connection.terminate()
            raise NotConnected(f"no answer within {self._config.timeout / 1e9:g} s") from None
        except (UnicodeError, asyncpg.exceptions.DataError) as error:  # a text that no parameter can carry
            raise Refused(Blame.ROW, clean(str(error), LONGEST_TEXT)) from None
        except (OSError, *MALFORMED) as error:
            connection.terminate()
            reason = self._loop.reason if self._loop is not None else ""
            raise NotConnected(reason or f"the connection has ended ({error})") from None

    async def close(self) -> None:
        """Disconnect, within a second."""
        connection, self._connection = self._connection, None
        if connection is None or connection.is_closed():
            return
        try:
            async with asyncio.timeout(_CLOSE_S):
                await connection.close()
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            connection.terminate()

    async def _prepare(self, connection: "asyncpg.Connection[Any]") -> None:
        """Make and migrate the tables, or see that they are there."""
        tables = self.tables
        if self._config.create:
            async with connection.transaction():
                # gateways that start together do it one after another
                await connection.execute("SELECT pg_advisory_xact_lock(hashtext($1))", tables.name("schema_version"))
                hypertable = self._config.hypertable and bool(
                    await connection.fetchval("SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'")
                )
                for statement in tables.creation(hypertable=hypertable):
                    await connection.execute(statement)
                version = await connection.fetchval(tables.version())
                for statement in tables.migrations(version or 0):
                    await connection.execute(statement)
        for table in TABLES:
            await connection.prepare(self._inserts[table])

    def _read_files(self) -> tuple[ssl.SSLContext | None, str]:
        config = self._config
        context = tls_context(config.tls, "postgres.tls") if config.tls is not None else None
        return context, read_secret(config.password, config.password_file, "postgres.password_file")

    def _not_connected(self, error: asyncpg.PostgresError) -> NotConnected:
        whose = blame(error.sqlstate or "")
        place = f"{self._config.host}:{self._config.port}"
        if whose is Blame.LOGIN:
            text = f"{place}: the database refuses the login: {_words(error)}: check postgres.username and its password"
            return NotConnected(text, security="login_refused")
        if isinstance(error, asyncpg.UndefinedTableError | asyncpg.UndefinedColumnError | asyncpg.InvalidSchemaNameError):
            return NotConnected(f"{place}: {_words(error)}: set postgres.create: true, or make the tables yourself")
        return NotConnected(f"{place}: {_words(error)}")


def _words(error: asyncpg.PostgresError) -> str:
    """Return what the database says, without the values of a row."""
    return clean(str(error).partition("\n")[0], LONGEST_TEXT)
