"""The well-behaved device: a Modbus server in a process of its own that times the gateway's polls and the machine's delays.

`python -m tests.hostile.neighbour`: the first line of its output is its port. Commands come as lines: `watch PID` names the
gateway, `reset` begins a span, `report` answers with a line of JSON about the span, as in `Report`.

A wait is the time between two polls beyond the interval. A busy machine makes waits, too, so each is also told without what
the machine has taken meanwhile, which is the sum of these, as one may follow the other:

- the time for which the gateway's threads were ready to run and had no CPU (run_delay in /proc/PID/task/*/schedstat: exactly
  what others took from them; time in which they compute or sleep is not in there). All of them, because the loop waits for
  whichever has the interpreter's lock;
- the same of this process, an undisturbed control that does nothing else, or how late its timers were where that is more:
  they see what the kernel's scheduler cannot, such as a host that stops the whole machine.

On a quiet machine both are next to nothing.

Both are known to this process alone at the moment of a poll, which is why it stamps and subtracts itself.
"""

import asyncio
import json
import struct
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

INTERVAL_S: Final = 0.05
"""How often the gateway is configured to poll. A poll that the machine delays beyond the next one's time is left out, a wait
of up to an interval that no figure explains: so this is half of what a wait may be."""
_TICK_S: Final = 0.005
_USUAL_S: Final = 0.02
"""A timer that is late by less says only that others have the CPU, which the scheduler's figures say better."""
_Taken = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Report:
    """What the neighbour saw in a span, times in seconds.

    Attributes:
        polls: Requests that came.
        waited_s: The longest wait beyond the interval, the last one, which still lasts, included.
        owed_s: The longest wait without what the machine took.
        stolen_s: What the machine took from the gateway in the whole span.
    """

    polls: int
    waited_s: float
    owed_s: float
    stolen_s: float


class Span:
    """Polls since the last reset, and what the machine took between them."""

    def __init__(self) -> None:
        self._tasks: Path | None = None
        self._late_s = 0.0
        self.reset()

    def watch(self, pid: int) -> None:
        """Name the gateway."""
        self._tasks = Path(f"/proc/{pid}/task")

    def reset(self) -> None:
        """Begin a span: the first wait is measured from now."""
        self._at_s = self._began_s = time.monotonic()
        self._first = self._before = self._taken()
        self._report = Report(0, 0.0, 0.0, 0.0)

    def late(self, by_s: float) -> None:
        """Count the lateness of this process's own timer."""
        self._late_s += by_s if by_s > _USUAL_S else 0.0

    def poll(self) -> None:
        """Record a request that came."""
        self._report = self._with_wait(polls=1)
        self._at_s, self._before = time.monotonic(), self._taken()

    def report(self) -> Report:
        """Return what was seen so far, with the wait that still lasts."""
        return self._with_wait(polls=0)

    def _with_wait(self, polls: int) -> Report:
        now_s, now, was = time.monotonic(), self._taken(), self._report
        wait_s = max(0.0, now_s - self._at_s - INTERVAL_S)
        owed_s = max(0.0, wait_s - _between(self._before, now))
        return Report(was.polls + polls, max(was.waited_s, wait_s), max(was.owed_s, owed_s), _between(self._first, now))

    def _taken(self) -> _Taken:
        """Return what the machine has taken so far from the gateway, and from this process by either figure, seconds."""
        run_delay_ns = 0
        for thread in self._tasks.glob("*/schedstat") if self._tasks else ():
            with suppress(OSError, IndexError):  # the thread has ended
                run_delay_ns += int(thread.read_text().split()[1])
        own_ns = int(Path("/proc/self/schedstat").read_text().split()[1])
        return run_delay_ns / 1e9, own_ns / 1e9, self._late_s


def _between(before: _Taken, after: _Taken) -> float:
    gateway_s, own_s, late_s = (max(0.0, now - then) for then, now in zip(before, after, strict=True))
    return gateway_s + max(own_s, late_s)


async def _serve(span: Span, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every read with zeros (MODBUS Messaging on TCP/IP 1.0b, 3.1.3)."""
    try:
        while True:
            transaction, _, _, unit, function, _, count = struct.unpack(">HHHBBHH", await reader.readexactly(12))
            span.poll()
            size = 2 * count if function in (3, 4) else (count + 7) // 8
            writer.write(struct.pack(">HHHBBB", transaction, 0, size + 3, unit, function, size) + bytes(size))
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _tick(span: Span) -> None:
    while True:
        due_s = time.monotonic() + _TICK_S
        await asyncio.sleep(_TICK_S)
        span.late(max(0.0, time.monotonic() - due_s - 0.001))


async def _main() -> None:
    span = Span()
    server = await asyncio.start_server(lambda r, w: _serve(span, r, w), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    ticking = asyncio.create_task(_tick(span))
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := (await commands.readline()).decode().split():
        match line:
            case ["watch", pid]:
                span.watch(int(pid))
            case ["reset"]:
                span.reset()
            case _:
                report = span.report()
                print(json.dumps([report.polls, report.waited_s, report.owed_s, report.stolen_s]), flush=True)
    ticking.cancel()


if __name__ == "__main__":
    asyncio.run(_main())
