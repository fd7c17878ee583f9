"""Takes a changed configuration while the gateway runs: load, compare, change device by device, confirm or change back."""

import asyncio
from collections.abc import Awaitable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import structlog

from gateway.app.cancel import cancel
from gateway.app.compose import GatewayParts
from gateway.app.next_configuration import NextConfiguration, connections, prepare
from gateway.app.release import release
from gateway.app.reload_record import ReloadRecord
from gateway.app.tag_discovery import ask_for_tags
from gateway.core.clock import Clock
from gateway.core.errors import ConfigError
from gateway.core.events.gateway import ConfigurationReloaded, ReloadResult
from gateway.core.os_errors import os_reason
from gateway.runtime.reload_requests import ReloadRequest, ReloadRequests
from gateway.settings import Settings
from gateway.settings.device_parts import with_kept
from gateway.settings.difference import Difference, difference
from gateway.settings.kept_configuration import faults_of_layouts
from gateway.settings.load_folder import load_tolerant

log = structlog.get_logger("app")

_CLOSE_S: Final = 5.0
_LOOK_S: Final = 0.05
_NOTHING: Final = "nothing differs"
_Built = TypeVar("_Built")


class _Refused(Exception):
    """The first problem of a configuration that is not taken."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    settings: Settings
    found: Difference


class Reloader:
    """Serves one request after the other.

    A configuration with a problem that was not there before is refused whole. Else devices that differ are stopped, changed
    and started; those that can be read before and not within `reload.confirm` afterwards are changed back.
    """

    def __init__(self, parts: GatewayParts, requests: ReloadRequests, clock: Clock, record: ReloadRecord) -> None:
        """record: is told how each reload has ended."""
        self._parts = parts
        self._requests = requests
        self._clock = clock
        self._record = record
        self.taken = asyncio.Event()
        """Set when other settings run."""

    async def run(self, tasks: asyncio.TaskGroup) -> None:
        """Serve requests for ever. tasks: where new sources run."""
        await self._record.begin(self._parts.settings.hash)
        while True:
            request = await self._requests.next()
            try:
                await self._serve(request, tasks)
            except _Refused as refused:
                await self._report("refused", request, [], str(refused))
                self._parts.changes.report_refused(self._parts.settings.folder, str(refused))
            await release(self._parts.superseded)

    async def _serve(self, request: ReloadRequest, tasks: asyncio.TaskGroup) -> None:
        before = self._parts.settings
        loaded = await self._built(self._load(request))
        after, found = loaded.settings, loaded.found
        if found.is_nothing and (after.hash == before.hash or request.devices is not None):
            if request.devices is None:
                await self._report("applied", request, [_NOTHING])
            return
        were_up = self._up(before)
        following = await self._built(self._prepared(before, after))
        await self._apply(following, tasks)
        self._parts.changes.report_configuration(after.hash, after.folder)
        shared = sorted(following.reconnected - {*found.added, *found.changed})
        lines = [*found.some_lines, *(f"{name} is connected anew: it shares a connection" for name in shared[:3])]
        await self._report("applied", request, lines or [_NOTHING], is_final=False)
        if failed := await self._missing(following.reconnected & were_up, after):
            await self._roll_back(request, before, following, failed, tasks)
        else:
            await self._record.write({"result": "confirmed", "config": after.hash, "changes": lines or [_NOTHING]})

    # -- loading -----------------------------------------------------------------------------------------------------

    async def _built(self, work: Awaitable[_Built]) -> _Built:
        """Return what was loaded or built. Raises _Refused for whatever goes wrong: nothing is changed yet."""
        try:
            return await work
        except (_Refused, asyncio.CancelledError):
            raise
        except OSError as error:
            raise _Refused(f"a file cannot be used: {error.filename or ''} {os_reason(error)}".replace("  ", " ")) from None
        except Exception as bug:
            log.exception("bug in a reload", advice="please report it")
            raise _Refused(f"internal error: {bug}") from None

    async def _load(self, request: ReloadRequest) -> _Loaded:
        before = self._parts.settings
        loaded = await asyncio.to_thread(_load, before, request.devices)
        new = {*loaded.found.added, *loaded.found.changed}
        if request.devices is None and new and await ask_for_tags(loaded.settings, self._clock, new):
            loaded = await asyncio.to_thread(_load, before, None)
        return loaded

    async def _prepared(self, before: Settings, after: Settings) -> NextConfiguration:
        parts = self._parts
        services = parts.source_services(after)
        return await asyncio.to_thread(prepare, before, after, parts.boot, parts.stages, parts.uplinks.prepare, services)

    # -- changing ----------------------------------------------------------------------------------------------------

    async def _apply(self, following: NextConfiguration, tasks: asyncio.TaskGroup) -> None:
        """Stop the sources of what differs, go over to the new configuration, start the new sources."""
        parts = self._parts
        ending = {*following.reconnected, *following.difference.removed}
        stopping = [source for source in parts.sources if ending & set(source.names)]
        await cancel([source.task for source in stopping if source.task is not None], _CLOSE_S)
        for source in stopping:
            source.end()
            parts.sources.remove(source)
        kept = len(parts.sources)
        parts.pipeline.fold()
        await asyncio.sleep(0)
        parts.take(following)
        for source in parts.sources[kept:]:
            source.start(tasks)
        self.taken.set()

    def _up(self, settings: Settings) -> set[str]:
        names = settings.table.devices
        return {name for row, name in enumerate(names) if self._parts.board.state_of(row).state != "down"}

    async def _missing(self, names: Collection[str], settings: Settings) -> Mapping[str, str]:
        """Wait until these devices can be read again. Return those that cannot within the time, and why."""
        rows = {name: settings.table.devices.index(name) for name in names}
        end_s = self._clock.monotonic() + settings.root.reload.confirm / 1e9
        while True:
            states = {name: self._parts.board.state_of(row) for name, row in rows.items()}
            down = {name: state.reason for name, state in states.items() if state.state == "down"}
            if not down or self._clock.monotonic() >= end_s:
                return down
            await self._clock.sleep(_LOOK_S)

    async def _roll_back(
        self,
        request: ReloadRequest,
        before: Settings,
        failed: NextConfiguration,
        reasons: Mapping[str, str],
        tasks: asyncio.TaskGroup,
    ) -> None:
        """Change the devices back that did not come up, with what else was changed on their connections."""
        after, found = failed.settings, failed.difference
        problem = "; ".join(f"{name} did not come up: {reason}" for name, reason in list(reasons.items())[:3])
        try:
            mixed = await self._built(asyncio.to_thread(_changed_back, before, after, found, frozenset(reasons)))
            following = await self._built(self._prepared(after, mixed))
        except _Refused as refused:
            raise _Refused(f"{problem}; cannot be changed back: {refused}") from None
        await self._apply(following, tasks)
        await self._report("rolled_back", request, following.difference.some_lines, problem)

    # -- telling -----------------------------------------------------------------------------------------------------

    async def _report(
        self,
        result: ReloadResult,
        request: ReloadRequest,
        lines: list[str],
        problem: str | None = None,
        *,
        is_final: bool = True,
    ) -> None:
        """Report a result. is_final: False where it is confirmed or changed back later."""
        parts, now_ns = self._parts, self._clock.now_ns()
        running = parts.settings.hash
        event = ConfigurationReloaded(
            time_ns=now_ns, result=result, reason=request.reason, config=running, changes=lines, problem=problem
        )
        parts.report(event)
        parts.configuration.reloaded(result, now_ns, problem)
        parts.board.wake()
        confirm_s = 0.0 if is_final else parts.settings.root.reload.confirm / 1e9
        outcome = {"result": result, "config": running, "changes": lines, "problem": problem}
        await self._record.write(outcome | {"final": is_final, "confirm_s": confirm_s})


def _load(before: Settings, devices: Collection[str] | None) -> _Loaded:
    """Load the folder again and compare. Raises _Refused with the first problem that was not there before."""
    try:
        loaded = load_tolerant(before.folder)
    except ConfigError as error:
        raise _Refused(str(error.problems[0])) from None
    known = {one.name for one in before.refused}
    running = set(before.table.devices)
    for one in loaded.refused:
        if (devices is None and one.name not in known) or (devices is not None and one.name in devices):
            raise _Refused(str(one.problems[0]))
    after = _with_only(before, loaded, devices) if devices is not None else _with_kept_devices(before, loaded, running)
    found = difference(before, after)
    if found.root:
        raise _Refused(f"gateway.yaml: {', '.join(found.root)} cannot be changed while it runs: this needs a restart")
    return _Loaded(after, found)


def _with_only(before: Settings, loaded: Settings, devices: Collection[str]) -> Settings:
    """Return the present settings with these devices as the folder says now."""
    known = {name for name in devices if name in before.table.devices and name in loaded.table.devices}
    mixed = with_kept(before, loaded, known)
    return loaded if difference(mixed, loaded).is_nothing else mixed


def _with_kept_devices(before: Settings, loaded: Settings, running: Collection[str]) -> Settings:
    """Return the new settings, with devices that run as they ran last, because their files were bad at the start already."""
    kept = {one.name for one in loaded.refused if one.name in running}
    if not kept:
        return loaded
    refused: tuple[Any, ...] = tuple(replace(one, is_kept=one.name in kept) for one in loaded.refused)
    return replace(with_kept(loaded, before, kept), refused=refused)


def _changed_back(before: Settings, after: Settings, found: Difference, failed: Collection[str]) -> Settings:
    """Return the new settings with devices that failed, and others on their connections, as they were before."""
    old, new = connections(before), connections(after)
    touched = {new[name] for name in failed} | {old[name] for name in failed if name in old}
    dirty = {*found.added, *found.changed, *found.removed}
    back = {name for name in dirty if touched & {old.get(name), new.get(name)}}
    mixed = with_kept(after, before, back)
    if back == dirty or any(faults_of_layouts(mixed)):
        return replace(before, root=after.root) if after.root.reload != before.root.reload else before
    return mixed
