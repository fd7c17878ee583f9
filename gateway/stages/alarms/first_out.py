"""Which alarm of a device was the first of those that followed each other."""

from collections.abc import Mapping

from gateway.stages.alarms.conditions import Conditions


class FirstOut:
    """The group that goes on at each device."""

    def __init__(self, conditions: Conditions, group_ns: int) -> None:
        """group_ns: how long after the newest of a group another one belongs to it."""
        self._conditions = conditions
        self._group_ns = group_ns
        self._groups: dict[str, tuple[str, int]] = {}

    def record(self, row: int, time_ns: int) -> str:
        """Take an alarm that begins; returns tag and condition of the first of its group."""
        table, tag = self._conditions.table, int(self._conditions.tag[row])
        device = table.devices[table.tags[tag].device]
        first, newest = self._groups.get(device, ("", 0))
        if not first or time_ns - newest > self._group_ns:
            first = f"{table.tags[tag].name} {self._conditions.configs[row].condition}"
        self._groups[device] = first, max(newest, time_ns)
        return first

    def take_over(self, other: "FirstOut") -> None:
        """Go on with the groups of devices that are still there."""
        known: Mapping[str, tuple[str, int]] = other._groups
        self._groups = {name: known[name] for name in self._conditions.table.devices if name in known}
