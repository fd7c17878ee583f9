"""The events of alarms."""

import math
from typing import Final

from gateway.core.events.process import LimitAlarm, Priority
from gateway.core.quality import CLASS_NAMES
from gateway.core.tags import TagTable
from gateway.stages.alarms.conditions import Conditions
from gateway.stages.alarms.config import AlarmConfig
from gateway.stages.alarms.state import State

HIGH_FROM: Final = 667
_MEDIUM_FROM: Final = 334
_NS_PER_MS: Final = 1_000_000


def alarm_event(
    conditions: Conditions,
    state: State,
    row: int,
    time_ns: int,
    *,
    is_active: bool,
    value: float = math.nan,
    quality: int | None = None,
    onset: int | None = None,
    reason: str | None = None,
    first_out: str | None = None,
    refresh: bool | None = None,
) -> LimitAlarm:
    """Return the event of a row. quality, onset: those of the state, unless they are given."""
    config, tag = conditions.configs[row], conditions.table.tags[int(conditions.tag[row])]
    severity, limit = int(conditions.severity[row]), float(conditions.limit[row])
    code = int(state.quality[row]) if quality is None else quality
    began = int(state.onset[row]) if onset is None else onset
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
        first_out=first_out,
        refresh=refresh,
    )


def _priority(severity: int) -> Priority:
    """Return the severity as one of three (OPC UA Part 5, 6.4.2)."""
    return "high" if severity >= HIGH_FROM else "medium" if severity >= _MEDIUM_FROM else "low"


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
