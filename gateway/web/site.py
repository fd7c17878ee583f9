"""From a request to an answer: health, metrics, API, stream, page. Whoever may ask has been decided before."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Final

import orjson
import structlog
from aiohttp import web
from multidict import MultiMapping

from gateway.core.log_levels import LOG_LEVELS
from gateway.web import metrics
from gateway.web.answers import ErrorAnswer
from gateway.web.api import Api
from gateway.web.guard import HEADERS
from gateway.web.health import health_of
from gateway.web.host import HostReadings
from gateway.web.openapi import OPERATIONS, document
from gateway.web.page_files import PageFile, read_page
from gateway.web.query import BadQuery, Query
from gateway.web.stream import MOST_TAGS, Stream, Viewer, encode
from gateway.web.view import GatewayView

log = structlog.get_logger("web")

_JSON: Final = "application/json"
_NO_STORE: Final = {**HEADERS, "Cache-Control": "no-store"}
_ANSWER_S: Final = 20.0
_AT_ONCE: Final = 2
_PREFIX: Final = "/api/v1/"
_SLICE_S: Final = 0.001
_RAW_BYTES: Final = 128 * 1024


class Site:
    """All that can be asked for."""

    def __init__(self, view: GatewayView, host: HostReadings) -> None:
        self._view = view
        self._host = host
        self._api = Api(view, host)
        self.stream = Stream(view.live, self._api)
        self._answers = {f"{_PREFIX}{one.name}": getattr(self._api, one.name) for one in OPERATIONS}
        self._special: dict[str, Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]] = {
            "/healthz": self._health,
            "/readyz": self._health,
            "/metrics": self._metrics,
            f"{_PREFIX}stream": self._watch,
            f"{_PREFIX}openapi.json": self._openapi,
            f"{_PREFIX}raw": self._raw,
        }
        self._slow = asyncio.Semaphore(_AT_ONCE)
        self._page: dict[str, PageFile] = {}

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Return the answer to a GET or HEAD."""
        path = request.path
        try:
            if path in self._answers:
                async with asyncio.timeout(_ANSWER_S):
                    return json_answer(await self._ask(path, Query(request.query)))
            special = self._special.get(path)
            return await (self._file if special is None else special)(request)
        except BadQuery as bad:
            return error_answer(bad.status, str(bad), bad.expected)
        except TimeoutError:
            return error_answer(503, f"there is no answer within {_ANSWER_S:g} s", "a smaller question, or a try later")

    async def change(self, request: web.BaseRequest) -> web.StreamResponse:
        """Change the level at which a part logs: the one thing that can be changed, by commands on this machine."""
        if request.path != f"{_PREFIX}log-level":
            return error_answer(404, "there is nothing to change here", f"{_PREFIX}log-level")
        try:
            query = Query(request.query)
            part, level = query.text("part"), query.text("level")
            query.end()
            LOG_LEVELS.set(part, level)
        except BadQuery as bad:
            return error_answer(bad.status, str(bad), bad.expected)
        except ValueError as bad:
            text, _, expected = str(bad).partition("; expected ")
            return error_answer(400, text, expected)
        log.warning("log level changed", part=part, to=level)
        return json_answer({"log_levels": LOG_LEVELS.shown()})

    async def _ask(self, path: str, query: Query) -> Any:
        if path.endswith(("/plan", "/configuration", "/history")):
            async with self._slow:
                return await self._answers[path](query)
        return await self._answers[path](query)

    async def _health(self, request: web.BaseRequest) -> web.Response:
        health = health_of(self._view)
        good = health.is_alive if request.path == "/healthz" else health.is_ready
        body = {"healthy": good, "level": health.level, "reasons": health.reasons}
        return json_answer(body, status=200 if good else 503)

    async def _openapi(self, _: web.BaseRequest) -> web.Response:
        return json_answer(document(self._view.identity.version))

    async def _metrics(self, _: web.BaseRequest) -> web.Response:
        """Return the metrics. The event loop has its turn after each millisecond of them."""
        parts = []
        begun = time.monotonic()
        await self._host.refresh()
        for part in metrics.slices(self._view, self._host):
            parts.append(part)
            if time.monotonic() - begun > _SLICE_S:
                await asyncio.sleep(0)
                begun = time.monotonic()
        return web.Response(text="".join(parts), headers={**_NO_STORE, "Content-Type": metrics.CONTENT_TYPE})

    async def _watch(self, request: web.BaseRequest) -> web.StreamResponse:
        """Send events until the viewer goes."""
        query = Query(request.query)
        tags = query.ids("tags", len(self._view.live.table), MOST_TAGS)
        query.end()
        if request.method != "GET":
            raise BadQuery("a stream can only be asked for with GET", status=405)
        if self.stream.is_full:
            return error_answer(503, f"{len(self.stream)} viewers look already", "one of them to leave")
        response = web.StreamResponse(headers={**_NO_STORE, "Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        transport = request.transport
        if transport is None:
            return response
        viewer = Viewer(tags, transport.abort)
        self.stream.add(viewer)
        try:
            while not viewer.is_dropped:
                await response.write(await viewer.waiting.get())
        except ConnectionResetError:
            pass  # the viewer has left
        finally:
            self.stream.remove(viewer)
        return response

    async def _raw(self, request: web.BaseRequest) -> web.StreamResponse:
        """Send the parts of an answer for the past, one JSON document a line, as fast as they are taken."""
        if (past := self._view.past) is None:
            raise BadQuery("this gateway keeps no values of the past", status=404)
        async with self._slow:
            parts = past.answer(question(request.query), _RAW_BYTES)
            response = web.StreamResponse(headers={**_NO_STORE, "Content-Type": "application/x-ndjson"})
            try:
                first = await anext(parts, b"{}")
                if (why := orjson.loads(first)).get("error"):
                    raise BadQuery(why["error"], why.get("expected", ""))
                await response.prepare(request)
                await response.write(first + b"\n")
                async for part in parts:
                    await response.write(part + b"\n")
            except ConnectionResetError:
                pass  # whoever has asked has left
            finally:
                if isinstance(parts, AsyncGenerator):
                    await parts.aclose()
        return response

    async def _file(self, request: web.BaseRequest) -> web.Response:
        if not self._page:
            self._page = await asyncio.to_thread(read_page)
        file = self._page.get(request.path)
        if file is None:
            return error_answer(404, "there is nothing here", f"/, /metrics, /healthz, /readyz or {_PREFIX}openapi.json")
        headers = {**HEADERS, "Cache-Control": "no-cache", "ETag": file.etag}
        if request.headers.get("If-None-Match") == file.etag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=file.content, headers={**headers, "Content-Type": file.content_type})


def question(query: MultiMapping[str]) -> bytes:
    """Return a query as the question for the past that it asks: `tags` may be there several times."""
    single = {key: value for key, value in query.items() if key != "tags"}
    return orjson.dumps(single | ({"tags": query.getall("tags")} if "tags" in query else {}))


def json_answer(content: Any, status: int = 200) -> web.Response:
    """Return an answer in JSON."""
    return web.Response(body=encode(content), status=status, headers={**_NO_STORE, "Content-Type": _JSON})


def error_answer(status: int, text: str, expected: str = "") -> web.Response:
    """Return why there is no answer."""
    return json_answer(ErrorAnswer(text, expected), status)
