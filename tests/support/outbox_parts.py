"""What outbox tests are made of: messages, losses that can be read back, an outbox with everything around it."""

import asyncio
import contextlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gateway.audit.ledger import Ledger
from gateway.core.events.event import Event
from gateway.core.messages import Lane, Loss, Message
from gateway.encoding.merge_windows import merge_windows
from gateway.outbox.config import OutboxConfig
from gateway.outbox.outbox import Outbox
from gateway.outbox.records import PreviousBoot
from tests.support.clock import ManualClock
from tests.support.network import until

NOW_NS = 1_790_000_000_000_000_000


def message(
    seq: int, lane: Lane = Lane.WINDOW, topic: str = "", boot: str = "b1", size: int = 100, end_ms: int = NOW_NS // 10**6
) -> Message:
    """A message whose payload names it."""
    topic = topic or f"g/press/{lane.name.lower()}"
    payload = f"{boot} {topic} {seq} ".encode().ljust(size, b".")
    return Message(topic, boot, seq, lane, end_ms - 1000, end_ms, payload)


def window(
    seq: int, ts: int, device: str = "press", boot: str = "b1", tags: int = 8, n: int = 10, lane: Lane = Lane.WINDOW
) -> Message:
    """A one-second window as the contract has it: each tag has read `n` times the number `seq`."""
    value = float(seq)
    same = dict.fromkeys(("min", "max", "mean", "first", "last"), value)
    rows = {f"tag_{i}": {"n": n, "good": n, **same, "std": 0.0, "q": "good"} for i in range(tags)}
    body = {"boot": boot, "seq": seq, "ts": ts, "dur": 1000, "hist": False, "tags": rows}
    payload = json.dumps(body, separators=(",", ":")).encode()
    return Message(f"g/{device}/window", boot, seq, lane, ts, ts + 1000, payload)


class Losses:
    """Encodes losses as JSON on the topic `g/event`, numbered like an encoder would."""

    def __init__(self, boot: str) -> None:
        self.encoded: list[Loss] = []
        self._boot = boot

    def __call__(self, loss: Loss) -> Message:
        self.encoded.append(loss)
        now_ms = NOW_NS // 10**6
        said = {"boot": self._boot, "seq": len(self.encoded), "kind": "loss", "of_boot": loss.boot}
        said |= {"start": loss.start_ms, "end": loss.end_ms}
        payload = json.dumps(asdict(loss) | {"loss": asdict(loss)} | said).encode()
        return Message("g/event", self._boot, len(self.encoded), Lane.EVENT, now_ms, now_ms, payload)

    @staticmethod
    def read(message: Message) -> Loss:
        return Loss(**json.loads(message.payload)["loss"])


def settings(path: Path, **changes: Any) -> OutboxConfig:
    """Defaults but for the path, a small `keep_free`, so that tests run on full disks, and known sizes on disk."""
    return OutboxConfig.model_validate({"path": path, "keep_free": "1MiB", "compress": False, **changes})


class Rig:
    """An outbox with everything around it."""

    def __init__(self, path: Path, boot: str = "b1", clock: Any = None, **changes: Any) -> None:
        self.clock = clock or ManualClock(NOW_NS)
        self.events: list[Event] = []
        self.losses = Losses(boot)
        self.outbox = Outbox(
            settings(path, **changes), boot, self.clock, self.losses, Losses.read, merge_windows, self.events.append
        )
        self.open_limits: dict[str, float] = {}
        """Parameters for `Outbox.open`."""
        self.unclean: list[PreviousBoot] = []
        """Earlier boots that were reported."""
        self._run: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Rig":
        await self.outbox.open(**self.open_limits)
        self.outbox.follow_previous(self.unclean.append)
        self._run = asyncio.create_task(self.outbox.run(), name="outbox")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        await self.outbox.close()

    async def stop(self) -> None:
        """End the commit loop; a bug in it comes out here."""
        if self._run is not None:
            task, self._run = self._run, None
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def crash(self) -> None:
        """Forget everything that is not on disk, as a crash would."""
        await self.stop()
        if self.outbox._reading is not None:  # its open cursor would keep the file busy for who comes next
            await asyncio.wait({self.outbox._reading})
        await self.outbox._writer.store.close()
        self.outbox._lock.release()

    @property
    def on_disk(self) -> int:
        """Rows in the database."""
        return sum(self.outbox._writer.store.totals.messages.values())

    @property
    def states(self) -> list[object]:
        """The `state` of each event so far."""
        return [event.state for event in self.events]

    async def advance(self, seconds: float) -> None:
        """Move the clock on, waiting at each step until the commit loop sleeps again."""
        await self.clock.advance(seconds, lambda: until(lambda: self.clock.waits_s, what="the commit loop sleeps"))

    async def commit(self) -> None:
        """Move on by a commit interval: nothing is unwritten afterwards, unless the disk refuses."""
        await self.advance(self.outbox._config.commit_interval / 1e9)

    async def drain(self) -> list[Message]:
        """Take and acknowledge everything there is; messages in the order of delivery."""
        return [m for m, _ in await self.drain_marked()]

    async def drain_marked(self) -> list[tuple[Message, bool]]:
        """As `drain`, each with its live mark."""
        got: list[tuple[Message, bool]] = []
        while self.outbox.stats.messages:
            for delivery in await asyncio.wait_for(self.outbox.fetch(100), 10):
                got.append((delivery.message, delivery.live))
                self.outbox.ack(delivery)
        return got


def samples_in(messages: list[Message]) -> int:
    """Samples that window messages speak of, over all tags."""
    return sum(tag["n"] for m in messages if "/window" in m.topic for tag in json.loads(m.payload)["tags"].values())


async def proof(rig: Rig) -> tuple[Ledger, list[Message]]:
    """Connect, take everything, and count it as a subscriber would."""
    rig.outbox.set_live(True)
    await rig.commit()
    delivered, ledger = await rig.drain(), Ledger(from_start=True)
    await rig.commit()
    delivered += await rig.drain()  # what was merged meanwhile
    for m in delivered:
        if m.payload.startswith(b"{"):
            ledger.add(m.topic, json.loads(m.payload))
    return ledger, delivered
