"""The status line that `systemctl status` shows."""

from collections import defaultdict

from gateway.app.compose import GatewayParts

_NAMED = 3


def status_line(parts: GatewayParts) -> str:
    """Return the states of devices, broker and outbox in one line."""
    names: dict[str, list[str]] = defaultdict(list)
    for device, name in enumerate(parts.settings.table.devices):
        names[parts.board.state_of(device).state].append(name)
    devices = ", ".join(f"{len(some)} {state}{_examples(state, some)}" for state, some in names.items())
    uplinks = parts.uplinks
    far_ends = ", ".join(f"{name} {state}" for name, state in uplinks.states.items())
    broker = f"sinks: {far_ends}" if far_ends else f"broker {'connected' if uplinks.is_connected else 'away'}"
    outbox = parts.outbox.stats
    health = f"; {fault}" if (fault := parts.health()) else ""
    disk = f", disk refuses: {outbox.refused}" if outbox.refused else ""
    waiting = f"{uplinks.acked} messages delivered, {outbox.messages} waiting"
    return f"{parts.configuration.line}devices: {devices}; {broker}{health}; {waiting}{disk}"


def _examples(state: str, names: list[str]) -> str:
    if state == "ok":
        return ""
    return f" ({', '.join(names[:_NAMED])}{', ...' if len(names) > _NAMED else ''})"
