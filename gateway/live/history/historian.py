"""The historian: takes what passes, compresses it on a thread, and answers for spans of time."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import numpy as np
import structlog

from gateway.core.blocks import SampleBlock, TagIds, WindowBlock
from gateway.core.clock import Clock
from gateway.core.events.event import Event
from gateway.core.events.gateway import HistorianStateChanged
from gateway.core.quality import Quality
from gateway.core.tag_move import TagMove
from gateway.core.tags import TagTable
from gateway.live.history.answers import MOST_ANSWER_ROWS, SPAN_NS, AnswerWork, HistoryAnswer, answer_of
from gateway.live.history.chunks import Chunk, rolled_up, seal, shortened
from gateway.live.history.columns import SAMPLES, SPANS, HistoryColumns
from gateway.live.history.config import HistoryConfig
from gateway.live.history.files import KINDS, HistoryFiles, Kind
from gateway.live.history.memory import ChunkMemory
from gateway.live.history.open_rows import SEAL_ROWS, OpenSamples, SeriesNumbers, spans_of

log = structlog.get_logger("history")

_MINUTE_NS: Final = SPAN_NS["minutes"]
_HOUR_NS: Final = 60 * _MINUTE_NS
_RETRY_S: Final = 60.0
_ALL: Final = 2**63 - 1
NOT_KEPT: Final = "not kept so far back"


class Historian:
    """History of every tag: samples, minutes and ten minutes.

    `run` compresses and writes on a thread; what passes is only kept until then.
    """

    def __init__(self, config: HistoryConfig, table: TagTable, clock: Clock, report: Callable[[Event], None]) -> None:
        """Begin without history. report: publishes events of the files."""
        self._config = config
        self._clock = clock
        self._report = report
        self._started_ns = clock.now_ns()
        self._numbers = SeriesNumbers(table)
        self._samples = OpenSamples(self._numbers)
        self._spans: dict[Kind, list[HistoryColumns]] = {"minutes": [], "ten_minutes": []}
        self._in_work: dict[Kind, list[HistoryColumns]] = {}
        age = config.max_age
        self._memory = {
            kind: ChunkMemory(config.memory * share // 10, age if kind == "samples" else 0)
            for kind, share in zip(KINDS, (8, 1, 1), strict=True)
        }
        self._files = HistoryFiles(config.files.path) if config.files.enabled else None
        self._are_open = False
        self._refused = ""
        self._retry_at = 0.0
        self._full = asyncio.Event()
        self._busy = threading.Lock()

    # What passes.

    def samples(self, block: SampleBlock) -> None:
        """See samples. Those that only repeat the last ones are no news."""
        if block.repeated or not len(block):
            return
        self._samples.push(block)
        if self._samples.rows >= SEAL_ROWS:
            self._full.set()

    def unknown(self, tags: TagIds, quality: int, now_ns: int) -> None:
        """See that tags are unknown from now on."""
        self.samples(SampleBlock.bad(tags, now_ns, Quality(quality)))

    def summary(self, block: WindowBlock) -> None:
        """See the summary of a minute, before anything is filtered."""
        columns = spans_of(block, self._numbers.of_tag)
        if len(columns):
            self._spans["minutes"].append(columns)

    def take_table(self, table: TagTable, move: TagMove) -> None:
        """Take another table while running; a tag of a known device and name goes on with its history."""
        self._samples.gather()
        self._numbers.follow(table, move)

    # Compress and write.

    async def run(self) -> None:
        """Compress and write what has come, for ever. Never returns; what the disk refuses stays in memory."""
        while True:
            await self._wait(self._config.block_time / 1e9)
            await self._work(self._due())

    async def close(self) -> None:
        """Write what is left: at a stop."""
        await self._work(("samples", "minutes", "ten_minutes"))
        if self._files is not None:
            await asyncio.to_thread(self._close_files)

    def _close_files(self) -> None:
        with self._busy:
            if self._files is not None:
                self._files.close()

    async def _wait(self, longest_s: float) -> None:
        """Return when a block is full, after `longest_s` at the latest."""
        if self._files is not None and not self._are_open and not self._retry_at:
            return  # what is there already should be known soon
        full = asyncio.ensure_future(self._full.wait())
        slept = asyncio.ensure_future(self._clock.sleep(longest_s))
        try:
            await asyncio.wait([full, slept], return_when=asyncio.FIRST_COMPLETED)
        finally:
            full.cancel()
            slept.cancel()
        self._full.clear()

    def _due(self) -> tuple[Kind, ...]:
        """Return the kinds of which there is enough: minutes at the end of ten, ten minutes at the end of an hour."""
        now = self._clock.now_ns()
        due: list[Kind] = ["samples"]
        for kind, together in (("minutes", SPAN_NS["ten_minutes"]), ("ten_minutes", _HOUR_NS)):
            waiting = self._spans[kind]  # type: ignore[index]  # a Kind
            if waiting and now - waiting[0].time.min() > together + 2 * _MINUTE_NS:
                due.append(kind)  # type: ignore[arg-type]  # a Kind
        return tuple(due)

    async def _work(self, kinds: tuple[Kind, ...]) -> None:
        work: dict[Kind, list[HistoryColumns]] = {}
        for kind in kinds:
            if kind == "samples":
                work[kind] = self._samples.take()
            else:
                work[kind], self._spans[kind] = self._spans[kind], []
        self._in_work = work = {kind: parts for kind, parts in work.items() if parts}
        now, names = self._clock.now_ns(), list(self._numbers.names)
        use_files = self._files is not None and self._clock.monotonic() >= self._retry_at
        if work or (use_files and not self._are_open):
            try:
                chunks, tens, error = await asyncio.to_thread(self._compress, work, names, now, use_files=use_files)
            except Exception as bug:  # what is remembered must not cost what is on its way
                log.exception("bug in the historian", advice="please report it")
                chunks, tens, error = {}, None, f"internal error: {bug}"
            for kind, chunk in chunks.items():
                self._memory[kind].add(chunk)
            self._spans["ten_minutes"] += [tens] if tens is not None else []
            if use_files:
                self._record_state(error)
        self._in_work = {}
        for memory in self._memory.values():
            memory.forget(now)

    def _compress(
        self, work: Mapping[Kind, list[HistoryColumns]], names: list[tuple[str, str]], now_ns: int, *, use_files: bool
    ) -> tuple[dict[Kind, Chunk], HistoryColumns | None, str]:
        """Return the chunks, the ten minutes that minutes have become, and what the disk has refused. On a thread."""
        chunks: dict[Kind, Chunk] = {}
        tens, error = None, ""
        for kind, parts in work.items():
            columns = HistoryColumns.joined(parts, SAMPLES if kind == "samples" else SPANS)
            if kind == "minutes":
                tens = rolled_up(columns, SPAN_NS["ten_minutes"])
            chunks[kind] = seal(columns if kind == "samples" else shortened(columns))
        if use_files and self._files is not None:
            with self._busy:
                try:
                    if not self._are_open:
                        self._files.open()
                        self._are_open = True
                    for kind, chunk in chunks.items():
                        self._files.add(kind, chunk, names, self._config.files, now_ns)
                except OSError as refused:
                    error = refused.strerror or str(refused)
        return chunks, tens, error

    def _record_state(self, error: str) -> None:
        """Report once that the disk refuses, and once that it does no more; and what was found damaged."""
        if error:
            self._retry_at = self._clock.monotonic() + _RETRY_S
        if bool(error) != bool(self._refused):
            self._tell("refused" if error else "recovered", error)
        self._refused = error
        if self._files is not None and self._files.damage:
            found, self._files.damage = self._files.damage, []
            self._tell("damaged", "; ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else ""))

    def _tell(self, state: str, reason: str) -> None:
        event = HistorianStateChanged(time_ns=self._clock.now_ns(), state=state, reason=reason)  # type: ignore[arg-type]
        self._report(event)

    # Answer.

    async def query(
        self, tags: TagIds, begin_ns: int, end_ns: int, kind: Kind = "samples", most: int = MOST_ANSWER_ROWS
    ) -> HistoryAnswer:
        """Return what is known of the tags from begin to before end. most: rows that are returned at most."""
        series, first = np.unique(self._numbers.of_tag[tags.astype(np.intp)], return_index=True)
        split = self._split(kind)
        work = AnswerWork(
            kind=kind,
            series=series,
            names=[self._numbers.names[one] for one in series.tolist()],
            begin=begin_ns,
            end=end_ns,
            most=min(most, MOST_ANSWER_ROWS),
            split=split,
            frames=list(self._memory[kind].find(series, max(begin_ns, split), end_ns)),
            open_rows=self._open_rows(kind),
            files=self._files if begin_ns < split else None,
        )
        columns, is_cut = work.run() if work.is_small else await asyncio.to_thread(work.run)
        tag = tags[first][np.searchsorted(series, columns.series)].astype(np.uint32)
        missing = tuple(self._missing(kind, begin_ns, end_ns))
        return answer_of(kind, tag, columns, missing, is_cut=is_cut)

    def _split(self, kind: Kind) -> int:
        """Return the time from which everything is in memory."""
        if self._files is None:
            return 0
        return max(self._started_ns, self._memory[kind].forgotten_ns + 1)

    def _open_rows(self, kind: Kind) -> list[HistoryColumns]:
        in_work = self._in_work.get(kind, [])
        if kind == "samples":
            return in_work + self._samples.peek()
        found = in_work + self._spans[kind]
        if kind == "ten_minutes":
            found += [*self._in_work.get("minutes", []), *self._spans["minutes"]]
        return found

    def _missing(self, kind: Kind, begin: int, end: int) -> Iterator[tuple[int, int, str]]:
        earliest = [self._memory[kind].begin, self._files.begin(kind) if self._files is not None else None]
        earliest += [int(part.time.min()) for part in self._open_rows(kind) if len(part)]
        known = min((one for one in earliest if one is not None), default=_ALL)
        if begin < min(known, end):
            yield begin, min(known, end), NOT_KEPT
        if kind == "samples" and self._samples.dropped_until_ns >= begin:
            until = min(self._samples.dropped_until_ns, end)
            yield begin, until, f"{self._samples.dropped} samples could not be compressed in time"

    def stats(self) -> dict[str, float | str]:
        """Return how much there is, in memory and on disk."""
        memory = sum(one.bytes for one in self._memory.values())
        files = {"file_bytes": float(self._files.bytes)} if self._files is not None else {}
        rows = float(self._memory["samples"].rows + self._samples.rows)
        refused = {"refused": self._refused} if self._refused else {}
        return {"memory_bytes": float(memory), "samples": rows, "dropped": float(self._samples.dropped), **files, **refused}
