"""A reload that goes wrong before anything is changed: it is refused, with the reason, and the next one is served."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.app import reloader
from gateway.app.reloader import Reloader
from gateway.runtime.reload_requests import ReloadRequest
from gateway.settings.difference import Difference
from tests.support.clock import ManualClock

CHANGED = Difference((), (), ("d1",), frozenset(), (), ("d1 is changed: interval",), ())


class Requests:
    """Reloads that somebody has asked for."""

    def __init__(self, count: int) -> None:
        self._left = count

    async def next(self) -> ReloadRequest:
        if not self._left:
            await asyncio.Event().wait()
        self._left -= 1
        return ReloadRequest("SIGHUP", None)


class Parts(SimpleNamespace):
    """Parts of a gateway, of which nothing may be changed."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        nothing: Callable[..., None] = lambda *_: None  # noqa: E731
        settings = SimpleNamespace(hash="before", folder="config", table=SimpleNamespace(devices=()))
        super().__init__(
            settings=settings,
            superseded=[],
            report=self.events.append,
            configuration=SimpleNamespace(reloaded=nothing),
            board=SimpleNamespace(wake=nothing),
            changes=SimpleNamespace(report_refused=nothing),
            boot="boot",
            stages=nothing,
            uplinks=SimpleNamespace(prepare=nothing),
            source_services=nothing,
        )


async def served(parts: Parts, count: int) -> list[tuple[str, str]]:
    """Result and problem of each reload."""

    async def nothing(*_: object) -> None:
        return None

    record: Any = SimpleNamespace(begin=nothing, write=nothing)
    requests: Any = Requests(count)
    own: Any = parts
    task = asyncio.create_task(Reloader(own, requests, ManualClock(), record).run(asyncio.TaskGroup()))
    async with asyncio.timeout(30):
        while len(parts.events) < count:
            await asyncio.sleep(0.001)
    assert not task.done()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return [(event.result, event.problem) for event in parts.events]


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (PermissionError(13, "denied", "/pki/own.der"), "a file cannot be used: /pki/own.der"),
        (OSError(28, "no space"), "a file cannot be used: "),
        (ZeroDivisionError("by zero"), "internal error: by zero"),
        (MemoryError("too much"), "internal error: too much"),
    ],
)
@pytest.mark.parametrize("where", ["_load", "prepare"])
async def test_what_cannot_be_built_is_refused(
    monkeypatch: pytest.MonkeyPatch, where: str, error: Exception, problem: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    async def no_tags(*_: object) -> bool:
        return False

    loaded = SimpleNamespace(settings=SimpleNamespace(hash="after"), found=CHANGED)
    monkeypatch.setattr(reloader, "_load", lambda *_: loaded)
    monkeypatch.setattr(reloader, "ask_for_tags", no_tags)
    monkeypatch.setattr(reloader, where, fail)
    parts = Parts()
    found = await served(parts, 2)
    assert [result for result, _ in found] == ["refused", "refused"]
    assert all(text.startswith(problem) for _, text in found)
    assert parts.settings.hash == "before"
