"""Reads all metrics again and again, and has a thread send them."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, Protocol

import structlog

from gateway.core import spans
from gateway.core.clock import Clock
from gateway.core.plural import counted
from gateway.otlp.config import OtlpConfig
from gateway.otlp.readings import EndedSpan, Points, Reading, WaitingReadings
from gateway.web.metrics import Family

log = structlog.get_logger("otlp")

_SLICE_S: Final = 0.001
_RETRY_S: Final = 5.0


class Exporter(Protocol):
    """What sends, on a thread (`OtlpExporter`)."""

    def send(self, reading: Reading) -> bool:
        """Send the metrics of a reading. Returns whether the collector has taken them."""
        ...

    def send_spans(self, spans: list[EndedSpan]) -> bool:
        """Send spans. Returns whether the collector has taken them."""
        ...


class OtlpPush:
    """The push of one gateway. Whatever the collector does costs the event loop nothing, and memory within bounds."""

    def __init__(
        self, config: OtlpConfig, families: Callable[[], Iterator[Family]], build: Callable[[], Exporter], clock: Clock
    ) -> None:
        """families: makes all metrics in slices. build: makes the exporter, on the thread."""
        self._config = config
        self._families = families
        self._build = build
        self._clock = clock
        self._waiting = WaitingReadings(config.keep)
        self._news = threading.Condition()
        self._is_ended = False
        self._is_away = False
        self._exporter: Exporter | None = None

    async def run(self) -> None:
        """Push for ever."""
        spans.follow(self._take_span, self._config.slow / 1e9)
        thread = threading.Thread(target=self._send_all, name="otlp", daemon=True)
        thread.start()
        try:
            while True:
                await self._clock.sleep(self._config.interval / 1e9)
                reading = await self._read()
                with self._news:
                    self._waiting.add(reading)
                    self._news.notify()
        finally:
            spans.follow(None)
            with self._news:
                self._is_ended = True
                self._news.notify()

    async def _read(self) -> Reading:
        """Return all metrics. The event loop has its turn after each millisecond of them."""
        found: dict[str, Points] = {}
        begun = time.monotonic()
        for family in self._families():
            series = family.take()
            if family.name in found:
                series = [*found[family.name].series, *series]
            found[family.name] = Points(family.name, family.kind, family.meaning, series)
            if time.monotonic() - begun > _SLICE_S:
                await asyncio.sleep(0)
                begun = time.monotonic()
        return Reading(self._clock.now_ns(), list(found.values()))

    def _take_span(self, span: spans.Span) -> None:
        with self._news:
            self._waiting.add_span(EndedSpan(self._clock.now_ns(), span))

    # On the thread.

    def _send_all(self) -> None:
        """Send what waits, until the end. The newest reading is the reason to try: it comes at each interval."""
        try:
            exporter = self._build()
            while self._wait():
                self._send_waiting(exporter)
        except Exception:  # a bug here, or in a library, costs the push and nothing else
            log.exception("a bug in the push to the collector: please report it")

    def _wait(self) -> bool:
        """Wait for a reading. Returns False at the end."""
        with self._news:
            self._news.wait_for(lambda: self._is_ended or len(self._waiting) > 0)
            return not self._is_ended

    def _send_waiting(self, exporter: Exporter) -> None:
        with self._news:
            reading, ended = self._waiting.oldest, self._waiting.take_spans()
        is_taken = reading is None or exporter.send(reading)
        if is_taken and ended:
            is_taken = exporter.send_spans(ended)
            ended = [] if is_taken else ended
        with self._news:
            if ended:
                self._waiting.put_back(ended)
            if reading is not None and is_taken:
                self._waiting.sent(reading)
            self._report(is_taken=is_taken)
            if not is_taken:
                self._news.wait_for(lambda: self._is_ended, _RETRY_S)

    def _report(self, *, is_taken: bool) -> None:
        """Log once that the collector is away, and once that it is back."""
        if is_taken != self._is_away:
            return
        self._is_away = not is_taken
        if is_taken:
            dropped, self._waiting.dropped = self._waiting.dropped, 0
            log.info("collector is back", endpoint=self._config.endpoint, dropped=counted(dropped, "reading"))
        else:
            keep_s = self._config.keep // 1_000_000_000
            log.warning("collector does not take metrics", endpoint=self._config.endpoint, kept_s=keep_s)
