"""Units of tags, and the most important tags of each device, from a configuration."""

from typing import Final

from gateway.settings import Settings

_MOST: Final = 6


def units(settings: Settings) -> dict[str, str]:
    """Return the units by `device/tag`."""
    return {settings.table.label(tag.id): tag.unit for tag in settings.table.tags}


def highlights(settings: Settings) -> dict[str, list[str]]:
    """Return the tags of each device to show first: those with a detector, then those with limits and a unit."""

    def interest(tag: int) -> tuple[bool, bool, bool]:
        policy = settings.policies[tag]
        limits = any(limit is not None for limit in (policy.hihi, policy.hi, policy.lo, policy.lolo))
        return "anomaly" not in policy.model_fields_set or not policy.anomaly, not settings.table.tags[tag].unit, not limits

    table = settings.table
    ranked = {name: sorted(range(*table.range_of(number)), key=interest) for number, name in enumerate(table.devices)}
    return {name: [table.tags[tag].name for tag in tags[:_MOST]] for name, tags in ranked.items()}
