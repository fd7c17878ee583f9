"""The state machines of all alarms: columns of samples in, transitions out.

A row is beyond (`ON`) from the sample that reaches its limit until one that is inside by more than the band: a decision that
stays in between. It is `BAD` from an unusable sample until a usable one. A row becomes active once it has been ON for its
on-delay, and inactive once it has been OFF for its off-delay; a value holds until the next one. So the time of a
transition depends on the samples only, and not on the blocks they came in or on when somebody looked.
"""

from dataclasses import fields
from typing import Final

import numpy as np

from gateway.core.blocks import Mask, Qualities, Rows, SampleBlock, Times, Values
from gateway.core.quality import USABLE_FROM, Quality
from gateway.stages.alarms.conditions import OFF_NORMAL, RATE, Conditions
from gateway.stages.alarms.observations import Inputs
from gateway.stages.alarms.segments import latest, shifted, starts_of
from gateway.stages.alarms.spans import SpansSeen
from gateway.stages.alarms.state import BAD, ON, Changes, Levels, State

_MOST_WAITING: Final = 4096
"""Samples beyond the spans seen that wait."""


class StateMachine:
    """The state machines of all rows."""

    def __init__(self, conditions: Conditions) -> None:
        """Begin with nothing known."""
        self.conditions = conditions
        self.inputs = Inputs(conditions)
        self.spans = SpansSeen(conditions)
        self.state = State.unknown(len(conditions))
        self._beyond_spans: list[tuple[Rows, Values, Qualities]] = []
        self._waiting = 0
        self.restored()

    def push(self, block: SampleBlock) -> Changes | None:
        """Take samples, those of one tag in the order of time. Returns what changed, None for nothing."""
        if not len(self.conditions):
            return None
        tag = block.tag.astype(np.intp)  # else numpy converts it for each look-up
        concerned = self.inputs.concerned(tag, block.value)
        if not np.count_nonzero(concerned):  # nearly always
            return None
        concerned &= (block.quality >= USABLE_FROM) | self.inputs.hot[tag]
        if not np.count_nonzero(concerned):
            return None
        place = np.flatnonzero(concerned)
        decisive = place[self.inputs.decisive(tag[place], block.value[place])]
        found = self._decide(block, tag, decisive) if decisive.size else None
        if self.spans.any_needed:
            self._beyond_spans.append((tag[place], block.value[place], block.quality[place]))
            self._waiting += place.size
            if self._waiting >= _MOST_WAITING:
                self.fold_spans()
        return found

    def fold_spans(self) -> None:
        """Let the spans seen be those of all samples. They are needed only where something is decided."""
        if self._beyond_spans:
            tag, value, quality = (np.concatenate(column) for column in zip(*self._beyond_spans, strict=True))
            self._beyond_spans, self._waiting = [], 0
            if (grown := self.spans.record(tag, value, quality)).size:
                self.inputs.watch(self.spans, grown)

    def _decide(self, block: SampleBlock, tag: Rows, decisive: Rows) -> Changes | None:
        """Have the rows of some samples' tags see all of the block."""
        self.fold_spans()
        if decisive.size == tag.size:
            sample = decisive
        else:
            concerned = np.zeros(self.inputs.hot.size, np.bool_)
            concerned[tag[decisive]] = True
            sample = np.flatnonzero(concerned[tag])
        sample, row = self.inputs.expand(sample, tag)
        return self._observe(block, tag, sample, row) if row.size else None

    def due(self, until_ns: int) -> Changes | None:
        """Return the transitions whose delays are over at a time, because no sample came that would have changed them."""
        rows, due = self._pending()
        rows, due = rows[due <= until_ns], due[due <= until_ns]
        if not rows.size:
            return None
        state = self.state
        is_on = state.level[rows] == ON
        state.active[rows] = is_on
        state.onset[rows] = np.where(is_on, state.since[rows], state.onset[rows])
        state.newest[rows] = np.maximum(state.newest[rows], due)
        touched = self.inputs.rows_of(np.unique(self.conditions.tag[rows]))
        self.inputs.heat(touched, self.is_hot(touched))
        none = np.zeros(rows.size, np.bool_)
        found = Changes(rows, due, is_on, none, state.value[rows], state.quality[rows], state.onset[rows])
        return _sorted(found, rows, self.conditions)

    def next_due_ns(self) -> int | None:
        """Return when the next delay is over, None where none runs."""
        _, due = self._pending()
        return int(due.min()) if due.size else None

    def restart_delays(self, now_ns: int) -> None:
        """Begin the delays that run anew, and let nothing lie in the future: the clock was set, or the gateway stops."""
        for column in (self.state.since, self.state.newest, self.state.first_time, self.state.onset):
            np.minimum(column, now_ns, out=column)
        self.state.since[self._pending()[0]] = now_ns

    def restored(self) -> None:
        """Compute what follows from a state that was put in."""
        rows = np.arange(len(self.conditions))
        self.inputs.heat(rows, self.is_hot(rows))
        self.inputs.watch(self.spans, np.arange(len(self.conditions.table)))

    def _pending(self) -> tuple[Rows, Times]:
        """Return the rows whose delay runs, and when it is over."""
        if not self.inputs.any_hot:
            return np.empty(0, np.intp), np.empty(0, np.int64)
        state = self.state
        rows = np.flatnonzero((state.level != BAD) & ((state.level == ON) != state.active))
        delay = np.where(state.level[rows] == ON, self.conditions.on_delay[rows], self.conditions.off_delay[rows])
        return rows, state.since[rows] + delay

    def is_hot(self, rows: Rows | slice) -> Mask:
        """Return which rows are active or beyond, or were at the last decision."""
        state = self.state
        return np.asarray(state.active[rows] | state.latch[rows] | (state.level[rows] == ON))

    def _observe(self, block: SampleBlock, tag: Rows, sample: Rows, row: Rows) -> Changes | None:
        order = np.lexsort((block.time[sample], row))
        sample, row = sample[order], row[order]
        begins = starts_of(row)
        time = np.maximum(block.time[sample], self.state.newest[row])
        quality = block.quality[sample]
        usable = quality >= USABLE_FROM
        value = np.where(usable, block.value[sample], np.nan)
        is_second = tag[sample] == self.conditions.other[row]
        band = self.spans.bands(row, value, is_second, begins)
        distance, usable = self._distances(row, time, value, usable, is_second, begins)
        level = self._levels(row, distance, usable, band, begins)
        held = self.state.level[row]
        is_settled = (level == held) & ((held == BAD) | ((held == ON) == self.state.active[row]))
        if is_settled.all():  # nearly always: nothing has changed, and no delay runs
            ends = np.r_[begins[1:], True]
            self.state.newest[row[ends]] = time[ends]
            return None
        quality = np.where(usable | (quality < USABLE_FROM), quality, np.uint8(Quality.BAD_NOT_AVAILABLE))
        return self._runs(row, time, value, quality, level, begins)

    def _distances(
        self, row: Rows, time: Times, value: Values, usable: Mask, is_second: Mask, begins: Mask
    ) -> tuple[Values, Mask]:
        """Return what is compared with `on`, NaN where nothing can be decided, and which of it is usable."""
        kind = self.conditions.kind[row]
        distance = value * self.conditions.sign[row]
        if (discrete := kind == OFF_NORMAL).any():
            is_normal = (value[discrete, None] == self.conditions.normal[row[discrete]]).any(axis=1)
            unknown = np.isnan(value[discrete]) | np.isnan(self.conditions.limit[row[discrete]])
            distance[discrete] = np.where(unknown, np.nan, 1.0 - is_normal)
        if (pairs := np.flatnonzero(self.conditions.is_pair(row))).size:
            distance[pairs] = self._pair_distances(row[pairs], value[pairs], is_second[pairs], begins[pairs])
            usable = usable.copy()
            usable[pairs] = ~np.isnan(distance[pairs])
        if (rates := np.flatnonzero(kind == RATE)).size:
            distance[rates] = self._rates(row[rates], time[rates], value[rates], begins[rates])
        return distance, usable

    def _pair_distances(self, row: Rows, value: Values, is_second: Mask, begins: Mask) -> Values:
        first = latest(value, ~is_second, begins, self.state.first[row])
        second = latest(value, is_second, begins, self.state.second[row])
        ends = np.r_[begins[1:], True]
        self.state.first[row[ends]], self.state.second[row[ends]] = first[ends], second[ends]
        with np.errstate(invalid="ignore", over="ignore"):
            return np.asarray(np.abs(first - second))

    def _rates(self, row: Rows, time: Times, value: Values, begins: Mask) -> Values:
        """Return the change per second against the last number before each value."""
        state, known = self.state, np.isfinite(value)
        held, held_time = latest(value, known, begins, state.first[row]), latest(time, known, begins, state.first_time[row])
        before = shifted(held, begins, state.first[row])
        before_time = shifted(held_time, begins, state.first_time[row])
        ends = np.r_[begins[1:], True]
        state.first[row[ends]], state.first_time[row[ends]] = held[ends], held_time[ends]
        passed_s = (time - before_time) / 1e9
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            rate = np.abs(value - before) / passed_s
        return np.where(passed_s > 0, rate, np.nan)

    def _levels(self, row: Rows, distance: Values, usable: Mask, band: Values, begins: Mask) -> Levels:
        on_at = self.conditions.on[row]
        on, off = distance >= on_at, distance < on_at - band
        decided = (on | off) & usable
        latch = latest(on, decided, begins, self.state.latch[row])
        ends = np.r_[begins[1:], True]
        self.state.latch[row[ends]] = latch[ends]
        return np.where(usable, latch, np.int8(BAD)).astype(np.int8)

    def _runs(
        self, row: Rows, time: Times, value: Values, quality: Qualities, level: Levels, begins: Mask
    ) -> Changes | None:
        """Return what changes with runs of equal levels, the run before each segment included."""
        state, place = self.state, np.flatnonzero(begins)
        first = row[place]
        ends = np.r_[begins[1:], True]
        state.newest[row[ends]] = time[ends]
        # The run that each segment goes on with stands before it.
        row = np.insert(row, place, first)
        newest = np.insert(time, place, time[place])
        time = np.insert(time, place, state.since[first])
        value = np.insert(value, place, state.value[first])
        quality = np.insert(quality, place, state.quality[first])
        level = np.insert(level, place, state.level[first])
        begins = starts_of(row)
        starts = begins | (level != shifted(level, begins, level))
        last = np.flatnonzero(np.r_[starts[1:], True])
        run = np.flatnonzero(starts)
        run_begins, run_ends = begins[run], np.r_[begins[run][1:], True]
        until = np.where(run_ends, newest[last], np.r_[time[run[1:]], 0])
        return self._transitions(row[run], time[run], value[run], quality[run], level[run], until, (run_begins, run_ends))

    def _transitions(
        self,
        row: Rows,
        since: Times,
        value: Values,
        quality: Qualities,
        level: Levels,
        until: Times,
        edges: tuple[Mask, Mask],
    ) -> Changes | None:
        state, (begins, ends) = self.state, edges
        is_on = level == ON
        delay = np.where(is_on, self.conditions.on_delay[row], self.conditions.off_delay[row])
        lasts = (level != BAD) & (until - since >= delay)
        active = latest(is_on, lasts, begins, state.active[row])
        before = shifted(active, begins, state.active[row])
        moves = active != before
        onset = latest(since, moves & active, begins, state.onset[row])
        is_news = ~begins & before & ((level == BAD) | (shifted(level, begins, level) == BAD)) & ~(moves & (delay == 0))
        at_end = row[ends]
        for column, values in (
            (state.level, level), (state.since, since), (state.value, value),
            (state.quality, quality), (state.active, active), (state.onset, onset),
        ):  # fmt: skip
            column[at_end] = values[ends]
        self.inputs.heat(at_end, self.is_hot(at_end))
        if not moves.any() and not is_news.any():
            return None
        moved, said = np.flatnonzero(moves), np.flatnonzero(is_news)
        both = np.r_[said, moved]
        is_quality = np.r_[np.ones(said.size, np.bool_), np.zeros(moved.size, np.bool_)]
        return _sorted(
            Changes(
                row[both],
                since[both] + np.where(is_quality, 0, delay[both]),
                np.where(is_quality, before[both], active[both]),
                is_quality,
                value[both],
                quality[both],
                onset[both],
            ),
            both,
            self.conditions,
        )


def _sorted(found: Changes, run: Rows, conditions: Conditions) -> Changes:
    """Return the changes in the order of time, then of kinds, rows and runs; of one run the news of its quality first."""
    order = np.lexsort((~found.is_quality, run, found.row, conditions.kind[found.row], found.time))
    return Changes(*(getattr(found, field.name)[order] for field in fields(found)))
