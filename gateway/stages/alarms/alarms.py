"""The alarms of all tags: what their state machines find, as events that an operator can read."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Mask, Rows, SampleBlock, TagIds, Times
from gateway.core.events.process import AlarmFlood, LimitAlarm
from gateway.core.quality import REASONS, USABLE_FROM, Quality
from gateway.core.tag_move import TagMove
from gateway.core.tags import TagTable
from gateway.stages.alarms.alarm_events import HIGH_FROM, alarm_event
from gateway.stages.alarms.conditions import Conditions
from gateway.stages.alarms.config import AlarmConfig
from gateway.stages.alarms.first_out import FirstOut
from gateway.stages.alarms.flood_config import AlarmsConfig
from gateway.stages.alarms.flood_control import MINUTE_NS, FloodControl
from gateway.stages.alarms.state import ON, Changes
from gateway.stages.alarms.state_machine import StateMachine
from gateway.stages.alarms.statistics import AlarmStatistics
from gateway.stages.config import TagPolicy

AlarmEvent = LimitAlarm | AlarmFlood
_AT_ONCE: Final = 500
"""Alarms that are said again in one call: the event loop must not be held."""


class Alarms:
    """The alarms of a gateway. Each row is a condition of its own (OPC UA Part 9, 5.8.18: NonExclusiveLimitAlarm).

    Attributes:
        machine: the state machines.
        said: bool[rows], which alarms were published as active and not yet as cleared.
        statistics: what was counted.
    """

    def __init__(
        self, table: TagTable, policies: Sequence[TagPolicy], now_ns: int, config: AlarmsConfig | None = None
    ) -> None:
        """Begin with no alarm active. policies: one per tag id."""
        config = config or AlarmsConfig()
        self.conditions = Conditions.of(table, policies)
        self.machine = StateMachine(self.conditions)
        self.said = np.zeros(len(self.conditions), np.bool_)
        self.statistics = AlarmStatistics(self.conditions)
        self.shelved_until = _shelved_until(self.conditions.configs, now_ns)
        self.flood = FloodControl(self.conditions, config)
        self._config = config
        self._first_out = FirstOut(self.conditions, config.group)
        self._said_ns = np.zeros(len(self.conditions), np.int64)
        self._shelving = bool(self.shelved_until.any())
        self._to_refresh: Rows = np.empty(0, np.intp)
        self._refreshed_ns = 0
        self._wants_refresh = False

    def push(self, block: SampleBlock, now_ns: int) -> list[AlarmEvent]:
        """Return the alarms that samples raise or clear, in the order of their times."""
        changes = self.machine.push(block)
        return [] if changes is None else self._events(changes, now_ns)

    def mark(self, tags: TagIds, quality: int, now_ns: int) -> list[AlarmEvent]:
        """Make the tags unknown, for the reason in `quality`: their alarms stay as they are and say so."""
        if not len(self.conditions) or not self.machine.inputs.any_hot:
            return []
        tags = tags[self.machine.inputs.hot[tags]]
        return self.push(SampleBlock.bad(tags, now_ns, Quality(quality)), now_ns) if tags.size else []

    def tick(self, until_ns: int, now_ns: int) -> list[AlarmEvent]:
        """Return what time alone leads to.

        Alarms whose delay was over by `until_ns`; those that are no longer shelved or held; counts of a flood; those that
        are said again.
        """
        if not len(self.conditions):
            return []
        changes = self.machine.due(until_ns)
        events = [] if changes is None else self._events(changes, now_ns)
        events += self._owed(now_ns)
        events += self.flood.summary(now_ns)
        return events + self._said_again(now_ns)

    def flush(self, now_ns: int) -> list[AlarmEvent]:
        """Return the counts of a flood that goes on, at a stop."""
        return [*self.flood.summary(now_ns, at_once=True)]

    def next_due_ns(self) -> int | None:
        """Return when a delay is over, None where none runs."""
        return self.machine.next_due_ns()

    @property
    def active(self) -> Mask:
        """Return which rows are active, bool[rows]."""
        return self.machine.state.active

    def figures(self, now_ns: int) -> dict[str, float | str]:
        """Return counts and the figures of ISA-18.2, for `stats`; nothing without alarms."""
        if not len(self.conditions):
            return {}
        figures = self.statistics.figures(self.active, self.machine.state.onset, now_ns)
        return figures | {"alarms_suppressed": self.flood.suppressed}

    def refresh(self) -> None:
        """Have every active alarm said again soon, but not more often than once a minute: a new reader may be there."""
        self._wants_refresh = True

    def tags_active(self) -> Rows:
        """Return the tags of active alarms."""
        return self.machine.conditions.tag[self.active]

    def announced(self, time_ns: int) -> list[LimitAlarm]:
        """Return every active alarm once more, without a value: after a restart."""
        rows = np.flatnonzero(self.active & ~self._is_shelved(time_ns))
        self.said[rows] = True
        self._said_ns[rows] = time_ns
        return [self._event(row, time_ns, is_active=True, refresh=True) for row in rows.tolist()]

    # What is said, and when.

    def _events(self, changes: Changes, now_ns: int) -> list[AlarmEvent]:
        shelved = self._is_shelved(now_ns)[changes.row] if self._shelving else np.zeros(len(changes), np.bool_)
        events: list[AlarmEvent] = []
        columns = (changes.row, changes.time, changes.active, changes.is_quality, changes.value, changes.quality)
        rows = zip(*(one.tolist() for one in (*columns, changes.onset, shelved)), strict=True)
        for row, time, is_active, is_quality, value, quality, onset, is_shelved in rows:
            first_out = None
            if not is_quality and not is_shelved:
                self.statistics.record(row, time, onset, is_active=is_active)
                first_out = self._first_out.record(row, time) if is_active else None
            if is_shelved or not self._is_to_be_said(row, time, is_active=is_active, is_quality=is_quality):
                continue
            self.said[row], self._said_ns[row] = is_active, time
            reason = REASONS[quality] if quality < USABLE_FROM else None
            more = {"value": value, "quality": quality, "onset": onset, "reason": reason, "first_out": first_out}
            events.append(self._event(row, time, is_active=is_active, **more))
        return events

    def _is_to_be_said(self, row: int, time: int, *, is_active: bool, is_quality: bool) -> bool:
        """Return whether a change is published; if not, count it."""
        was_said = bool(self.said[row])
        if is_quality and not was_said:
            return False
        what = "quality" if is_quality else "raised" if is_active else "cleared"
        if not is_quality and is_active == was_said:  # what was said before is true again
            self.flood.suppress(row, time, what)
            return False
        chatters = self._config.hold_chattering and self.statistics.is_chattering(row, time)
        if chatters and was_said and not is_active:
            self.flood.not_before[row] = time + MINUTE_NS
            self.flood.suppress(row, time, what)
            return False
        if not self.flood.takes(time, is_high=self.conditions.severity[row] >= HIGH_FROM):
            self.flood.suppress(row, time, what)
            return False
        return True

    def _owed(self, now_ns: int) -> list[AlarmEvent]:
        """Return what is not as it was said, of alarms that are no longer held: the most urgent first, then the oldest."""
        if self._shelving:
            ended = (self.shelved_until > 0) & (self.shelved_until <= now_ns)
            self.shelved_until[ended] = 0
        rows = np.flatnonzero((self.said != self.active) & (self.flood.not_before <= now_ns))
        events: list[AlarmEvent] = []
        if rows.size:
            rows = rows[~self._is_shelved(now_ns)[rows]]
            rows = rows[np.lexsort((self.machine.state.onset[rows], -self.conditions.severity[rows]))]
            for row in rows[:_AT_ONCE].tolist():
                if not self.flood.takes(now_ns, is_high=self.conditions.severity[row] >= HIGH_FROM):
                    break
                self.said[row], self._said_ns[row] = self.active[row], now_ns
                reason = "unshelved" if self._shelving and ended[row] else "held"
                events.append(self._event(row, now_ns, is_active=bool(self.active[row]), reason=reason))
        self._shelving = self._shelving and bool(self.shelved_until.any())
        return events

    def _said_again(self, now_ns: int) -> list[AlarmEvent]:
        """Return active alarms once more: to new readers, and those that nobody has seen to for long."""
        if self._wants_refresh and now_ns - self._refreshed_ns >= MINUTE_NS:
            self._wants_refresh, self._refreshed_ns = False, now_ns
            self._to_refresh = np.flatnonzero(self.said)
        rows, self._to_refresh = self._to_refresh[:_AT_ONCE], self._to_refresh[_AT_ONCE:]
        events = [self._event(row, now_ns, is_active=True, refresh=True) for row in rows[self.said[rows]].tolist()]
        if self._config.re_alarm:
            due = np.flatnonzero(self.said & self.active & (now_ns - self._said_ns >= self._config.re_alarm))[:_AT_ONCE]
            self._said_ns[due] = now_ns
            events += [self._event(row, now_ns, is_active=True, reason="re_alarm") for row in due.tolist()]
        return [*events]

    def _is_shelved(self, now_ns: int) -> Mask:
        return np.asarray(self.shelved_until > now_ns)

    def _event(self, row: int, time_ns: int, *, is_active: bool, **more: Any) -> LimitAlarm:
        return alarm_event(self.conditions, self.machine.state, row, time_ns, is_active=is_active, **more)

    # Restart and reload.

    def kept(self) -> dict[str, NDArray[Any]]:
        """Return what a later run needs of the alarms that are active, or shelved for a span: columns by their names."""
        rows, state = np.flatnonzero(self.active | self._for_a_span()), self.machine.state
        names = [self.conditions.configs[row].condition for row in rows.tolist()]
        return {
            "tag": self.conditions.tag[rows],
            "condition": np.array(names, np.str_),
            "onset": state.onset[rows],
            "value": state.value[rows],
            "quality": state.quality[rows],
            "active": self.active[rows],
            "shelved_until": self.shelved_until[rows],
        }

    def _for_a_span(self) -> Mask:
        return np.array([one.shelved_for is not None for one in self.conditions.configs], np.bool_)

    def restore(self, kept: Mapping[str, NDArray[Any]]) -> None:
        """Go on with the active alarms of an earlier run, and with the spans for which alarms are shelved.

        An alarm that there is no more does not become active.
        """
        tags = kept["tag"]
        rows = np.flatnonzero(np.isin(self.conditions.tag, tags))
        known = {(int(self.conditions.tag[row]), self.conditions.configs[row].condition): row for row in rows.tolist()}
        found = [known.get(one, -1) for one in zip(tags.tolist(), kept["condition"].tolist(), strict=True)]
        place = np.flatnonzero(np.array(found, np.intp) >= 0)
        row, state = np.array(found, np.intp)[place], self.machine.state
        spans = self._for_a_span()[row]
        self.shelved_until[row[spans]] = kept["shelved_until"][place[spans]]
        self._shelving = bool(self.shelved_until.any())
        is_active = kept["active"][place]
        row, place = row[is_active], place[is_active]
        state.active[row] = state.latch[row] = True
        state.level[row] = ON
        state.since[row] = state.onset[row] = kept["onset"][place]
        state.value[row], state.quality[row] = kept["value"][place], kept["quality"][place]
        self.machine.restored()

    def ended(self, following: "Alarms", move: TagMove, now_ns: int) -> list[AlarmEvent]:
        """Return the end of each alarm that others, which take the place of these, do not have or hold back."""
        rows = np.flatnonzero(self.said & (move.place[self.conditions.tag] < 0))
        places = following.conditions.places(self.conditions, rows)
        events: list[AlarmEvent] = [*self.flush(now_ns)]
        for row, now in zip(rows.tolist(), places.tolist(), strict=True):
            reason = "removed" if now < 0 else "shelved" if following.shelved_until[now] > now_ns else None
            if reason is not None:
                self.said[row] = False
                events.append(self._event(row, now_ns, is_active=False, reason=reason))
        return events

    def take_over(self, other: "Alarms", move: TagMove) -> None:
        """Go on with what is known of the alarms of another one: rows of the same device, tag, condition and kind.

        Where limits differ, the next sample decides.
        """
        machine, before, conditions = self.machine, other.machine, other.conditions
        place = move.place[conditions.tag]
        stay = np.flatnonzero(place >= 0)
        first_old = np.searchsorted(conditions.tag, conditions.tag[stay])
        moved = np.searchsorted(self.conditions.tag, place[stay]) + stay - first_old
        changed = np.flatnonzero((place < 0) & before.is_hot(slice(None)))
        found = self.conditions.places(conditions, changed)
        old, new = np.r_[stay, changed[found >= 0]], np.r_[moved, found[found >= 0]]
        machine.state.copy_from(before.state, new, old)
        self.said[new], self._said_ns[new] = other.said[old], other._said_ns[old]
        self.flood.not_before[new] = other.flood.not_before[old]
        self.flood.suppressed = other.flood.suppressed
        self.statistics.take_over(other.statistics, new, old)
        self._first_out.take_over(other._first_out)
        self._wants_refresh = other._wants_refresh or bool(other._to_refresh.size)
        self.shelved_until[moved] = other.shelved_until[stay]
        self._shelving = bool(self.shelved_until.any())
        before.fold_spans()
        machine.spans.low[move.learnt_new] = before.spans.low[move.learnt_old]
        machine.spans.high[move.learnt_new] = before.spans.high[move.learnt_old]
        machine.restored()


def _shelved_until(configs: Sequence[AlarmConfig], now_ns: int) -> Times:
    """Return until when each row is shelved, int64[rows] in ns, 0 for not."""
    until = [one.shelved_until or (now_ns + one.shelved_for if one.shelved_for is not None else 0) for one in configs]
    return np.array([time if time > now_ns else 0 for time in until], np.int64)
