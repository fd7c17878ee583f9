"""The alarms of all tags: what their state machines find becomes events."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.core.blocks import Mask, Rows, SampleBlock, TagIds, Times
from gateway.core.events.process import LimitAlarm, Priority
from gateway.core.quality import CLASS_NAMES, REASONS, USABLE_FROM, Quality
from gateway.core.tag_move import TagMove
from gateway.core.tags import TagTable
from gateway.stages.alarms.conditions import Conditions
from gateway.stages.alarms.config import AlarmConfig
from gateway.stages.alarms.state import ON, Changes
from gateway.stages.alarms.state_machine import StateMachine
from gateway.stages.config import TagPolicy

_HIGH_FROM: Final = 667
_MEDIUM_FROM: Final = 334
_NS_PER_MS: Final = 1_000_000


class Alarms:
    """The alarms of a gateway. Each row is a condition of its own (OPC UA Part 9, 5.8.18: NonExclusiveLimitAlarm).

    Attributes:
        machine: the state machines.
        said: bool[rows], which alarms were published as active and not yet as cleared.
    """

    def __init__(self, table: TagTable, policies: Sequence[TagPolicy], now_ns: int) -> None:
        """Begin with no alarm active. policies: one per tag id."""
        self.conditions = Conditions.of(table, policies)
        self.machine = StateMachine(self.conditions)
        self.said = np.zeros(len(self.conditions), np.bool_)
        self.shelved_until = _shelved_until(self.conditions.configs, now_ns)
        self._shelving = bool(self.shelved_until.any())

    def push(self, block: SampleBlock, now_ns: int) -> list[LimitAlarm]:
        """Return the alarms that samples raise or clear, in the order of their times."""
        changes = self.machine.push(block)
        return [] if changes is None else self._events(changes, now_ns)

    def mark(self, tags: TagIds, quality: int, now_ns: int) -> list[LimitAlarm]:
        """Make the tags unknown, for the reason in `quality`: their alarms stay as they are and say so."""
        if not len(self.conditions) or not self.machine.inputs.any_hot:
            return []
        tags = tags[self.machine.inputs.hot[tags]]
        return self.push(SampleBlock.bad(tags, now_ns, Quality(quality)), now_ns) if tags.size else []

    def tick(self, until_ns: int, now_ns: int) -> list[LimitAlarm]:
        """Return the alarms that begin or end because a delay was over by `until_ns`, or a shelving by `now_ns`."""
        changes = self.machine.due(until_ns)
        events = [] if changes is None else self._events(changes, now_ns)
        return events + self._unshelved(now_ns)

    def next_due_ns(self) -> int | None:
        """Return when a delay is over, None where none runs."""
        return self.machine.next_due_ns()

    @property
    def active(self) -> Mask:
        """Return which rows are active, bool[rows]."""
        return self.machine.state.active

    def tags_active(self) -> Rows:
        """Return the tags of active alarms."""
        return self.machine.conditions.tag[self.active]

    def announced(self, time_ns: int) -> list[LimitAlarm]:
        """Return every active alarm once more, without a value: for those who know nothing yet."""
        rows = np.flatnonzero(self.active & ~self._is_shelved(time_ns))
        self.said[rows] = True
        return [self._event(row, time_ns, is_active=True, refresh=True) for row in rows.tolist()]

    def _unshelved(self, now_ns: int) -> list[LimitAlarm]:
        """Return what has to be said at the end of shelving."""
        if not self._shelving:
            return []
        ended = np.flatnonzero((self.shelved_until > 0) & (self.shelved_until <= now_ns))
        self.shelved_until[ended] = 0
        self._shelving = bool(self.shelved_until.any())
        rows = ended[self.active[ended] & ~self.said[ended]]
        self.said[rows] = True
        return [self._event(row, now_ns, is_active=True, reason="unshelved") for row in rows.tolist()]

    def _is_shelved(self, now_ns: int) -> Mask:
        return np.asarray(self.shelved_until > now_ns)

    def _events(self, changes: Changes, now_ns: int) -> list[LimitAlarm]:
        shelved = self._is_shelved(now_ns)[changes.row] if self._shelving else np.zeros(len(changes), np.bool_)
        events = []
        columns = (changes.row, changes.time, changes.active, changes.is_quality, changes.value, changes.quality)
        rows = zip(*(one.tolist() for one in (*columns, changes.onset, shelved)), strict=True)
        for row, time, is_active, is_quality, value, quality, onset, is_shelved in rows:
            if is_shelved or (not self.said[row] and (is_quality or not is_active)):
                continue
            self.said[row] = is_active
            reason = REASONS[quality] if quality < USABLE_FROM else None
            events.append(
                self._event(row, time, is_active=is_active, value=value, quality=quality, onset=onset, reason=reason)
            )
        return events

    def _event(
        self,
        row: int,
        time_ns: int,
        *,
        is_active: bool,
        value: float = math.nan,
        quality: int | None = None,
        onset: int | None = None,
        reason: str | None = None,
        refresh: bool | None = None,
    ) -> LimitAlarm:
        conditions = self.conditions
        config, tag = conditions.configs[row], conditions.table.tags[int(conditions.tag[row])]
        severity, limit = int(conditions.severity[row]), float(conditions.limit[row])
        code = int(self.machine.state.quality[row]) if quality is None else quality
        began = int(self.machine.state.onset[row]) if onset is None else onset
        return LimitAlarm(
            time_ns=time_ns,
            device=tag.device,
            tag=tag.id,
            state="active" if is_active else "cleared",
            condition=config.condition,
            severity=severity,
            value=value,
            limit=limit,
            alarm=config.kind,
            priority=_priority(severity),
            onset=began // _NS_PER_MS,
            quality=CLASS_NAMES[code >> 6],
            message=_text(config, conditions.table, tag.id, value, limit) if config.message else None,
            reason=reason,
            refresh=refresh,
        )

    # Restart and reload.

    def kept(self) -> dict[str, NDArray[Any]]:
        """Return what a later run needs of the active alarms: `tag`, `condition`, `onset`, `value`, `quality`."""
        rows, state = np.flatnonzero(self.active), self.machine.state
        names = [self.conditions.configs[row].condition for row in rows.tolist()]
        return {
            "tag": self.conditions.tag[rows],
            "condition": np.array(names, np.str_),
            "onset": state.onset[rows],
            "value": state.value[rows],
            "quality": state.quality[rows],
        }

    def restore(self, kept: Mapping[str, NDArray[Any]]) -> None:
        """Go on with the active alarms of an earlier run. An alarm that there is no more does not become active."""
        tags = kept["tag"]
        rows = np.flatnonzero(np.isin(self.conditions.tag, tags))
        known = {(int(self.conditions.tag[row]), self.conditions.configs[row].condition): row for row in rows.tolist()}
        found = [known.get(one, -1) for one in zip(tags.tolist(), kept["condition"].tolist(), strict=True)]
        place = np.flatnonzero(np.array(found, np.intp) >= 0)
        row, state = np.array(found, np.intp)[place], self.machine.state
        state.active[row] = state.latch[row] = True
        state.level[row] = ON
        state.since[row] = state.onset[row] = kept["onset"][place]
        state.value[row], state.quality[row] = kept["value"][place], kept["quality"][place]
        self.machine.restored()

    def ended(self, following: "Alarms", move: TagMove, now_ns: int) -> list[LimitAlarm]:
        """Return the end of each alarm that others, which take the place of these, do not have or hold back."""
        rows = np.flatnonzero(self.said & (move.place[self.conditions.tag] < 0))
        places = following.conditions.places(self.conditions, rows)
        events = []
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
        self.said[new] = other.said[old]
        self.shelved_until[moved] = other.shelved_until[stay]
        self._shelving = bool(self.shelved_until.any())
        machine.spans.low[move.learnt_new] = before.spans.low[move.learnt_old]
        machine.spans.high[move.learnt_new] = before.spans.high[move.learnt_old]
        machine.restored()


def _shelved_until(configs: Sequence[AlarmConfig], now_ns: int) -> Times:
    """Return until when each row is shelved, int64[rows] in ns, 0 for not."""
    until = [one.shelved_until or (now_ns + one.shelved_for if one.shelved_for is not None else 0) for one in configs]
    return np.array([time if time > now_ns else 0 for time in until], np.int64)


def _priority(severity: int) -> Priority:
    """Return the severity as one of three (OPC UA Part 5, 6.4.2)."""
    return "high" if severity >= _HIGH_FROM else "medium" if severity >= _MEDIUM_FROM else "low"


def _text(config: AlarmConfig, table: TagTable, tag: int, value: float, limit: float) -> str:
    one = table.tags[tag]
    return config.message.format(
        device=table.devices[one.device],
        tag=one.name,
        condition=config.condition,
        value="?" if math.isnan(value) else f"{value:g}",
        unit=one.unit,
        limit=f"{limit:g}",
    )
