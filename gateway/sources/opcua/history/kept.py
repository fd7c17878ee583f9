"""Up to when each node's samples were handed on, kept over restarts: a restart of the gateway is a gap as any other."""

import asyncio
import json
import logging
import math
import os
import threading
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from gateway.core.blocks import Times
from gateway.core.clock import Clock
from gateway.sources.opcua.config import OpcUaDevice
from gateway.sources.opcua.connection import Item
from gateway.sources.opcua.history.gaps import Gaps

log = logging.getLogger(__name__)

KEEP_S: Final = 60.0
_LOOK_S: Final = 1.0
_MOST_BYTES: Final = 64 * 2**20
_LATEST: Final = 2**62


class Kept:
    """A small file per device.

    While samples come it says once a minute, in one line, that they do, and up to when. When the connection or the gateway
    ends it names the time of every node, exactly. So after a crash it is known only that nothing later than the last line
    and a minute was handed on: the gap begins there, because a hole is told and a value counted twice is not. A file that
    cannot be read or written costs only this.
    """

    def __init__(self, config: OpcUaDevice, items: Sequence[Item], gaps: Gaps, clock: Clock) -> None:
        self._path = config.history_kept / f"{config.name}.json"
        self._name = config.name
        self._urls = [config.url, *config.urls]
        self._keys = [f"{item.node}[{item.index}]" if item.index else item.node for item in items]
        self._gaps = gaps
        self._clock = clock
        self._is_exact = True
        self._written_ns = 0
        self._due_s = self._whole_due_s = -math.inf
        self._has_complained = False
        self._writing = threading.Lock()
        self._asked = self._done = 0

    def recall(self) -> None:
        """What the run before has left becomes the beginning of the first gap."""
        try:
            if not self._path.is_file() or self._path.stat().st_size > _MOST_BYTES:
                return
            after, skipped_ns = self._times(json.loads(self._path.read_bytes()))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            log.warning("%s: %s is not used, history begins anew: %s", self._name, self._path, error)
            return
        self._gaps.remember(after, skipped_ns)

    def _times(self, told: Any) -> tuple[Times, int]:
        if not set(told["urls"]) & set(self._urls):
            raise ValueError("it is of another server")
        if told["exact"]:
            nodes = told["nodes"]
            return np.array([_time(nodes.get(key, 0)) for key in self._keys], np.int64), 0
        known_ns = _time(told["newest"])
        after = min(known_ns + round(KEEP_S * 1e9), self._clock.now_ns())
        return np.full(len(self._keys), after, np.int64), max(0, after - known_ns)

    async def run(self) -> None:
        """Say at once that samples come, then every minute."""
        while True:
            newest_ns = self._gaps.newest_taken_ns
            if newest_ns > self._written_ns and (self._is_exact or self._clock.monotonic() >= self._due_s):
                self._is_exact, self._written_ns = False, newest_ns
                self._due_s = self._clock.monotonic() + KEEP_S
                await self._write({"urls": self._urls, "exact": False, "newest": newest_ns})
            await self._clock.sleep(_LOOK_S)

    async def end(self, *, at_last: bool) -> None:
        """Nothing more is handed on for now: name the times of all nodes. at_last: the gateway stops; else connections that
        break again and again do so once a minute."""
        newest_ns = self._gaps.newest_taken_ns
        if not newest_ns or (self._is_exact and newest_ns == self._written_ns):
            return
        if not at_last and self._clock.monotonic() < self._whole_due_s:
            return
        self._is_exact, self._written_ns = True, newest_ns
        self._whole_due_s = self._clock.monotonic() + KEEP_S
        pairs = zip(self._keys, self._gaps.taken.tolist(), strict=True)
        await self._write({"urls": self._urls, "exact": True, "nodes": {key: time for key, time in pairs if time}})

    async def _write(self, what: dict[str, object]) -> None:
        self._asked += 1
        try:
            await asyncio.to_thread(self._replace, json.dumps(what).encode(), self._asked)
        except OSError as error:
            if not self._has_complained:
                log.warning(
                    "%s: what was read up to when cannot be kept: %s; history_kept: names its folder", self._name, error
                )
            self._has_complained = True

    def _replace(self, content: bytes, number: int) -> None:
        """On a thread, which goes on when its task is cancelled: an older content never takes the place of a newer one."""
        with self._writing:
            if number < self._done:
                return
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new = self._path.with_suffix(".new")
            with new.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
            self._done = number


def _time(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < _LATEST:
        raise ValueError(f"{value!r} is no time")
    return value
