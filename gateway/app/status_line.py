"""What the gateway says of itself: in its `stats`, and in the line that `systemctl status` shows."""

from collections import defaultdict

from gateway.app.compose import Parts

_NAMED = 3


def stats(parts: Parts) -> dict[str, float | str]:
    """Counted since the start, what waits, days until certificates end."""
    publisher = parts.publisher
    return {
        "connects": publisher.connects,
        "sent": publisher.sent,
        "acked": publisher.acked,
        "refused": publisher.refused,
        "released": publisher.released,
        "waiting": parts.outbox.stats.messages,
        **parts.certificates.days_left(),
    }


def status_line(parts: Parts) -> str:
    """How devices, broker and outbox are."""
    names: dict[str, list[str]] = defaultdict(list)
    for device, name in enumerate(parts.settings.table.devices):
        names[parts.board.state_of(device).state].append(name)
    devices = ", ".join(f"{len(some)} {state}{_examples(state, some)}" for state, some in names.items())
    broker = "connected" if parts.publisher.is_connected else "away"
    outbox = parts.outbox.stats
    health = f"; {said}" if (said := parts.health()) else ""
    disk = f", disk refuses: {outbox.refused}" if outbox.refused else ""
    waiting = f"{parts.publisher.acked} messages delivered, {outbox.messages} waiting"
    return f"devices: {devices}; broker {broker}{health}; {waiting}{disk}"


def _examples(state: str, names: list[str]) -> str:
    if state == "ok":
        return ""
    return f" ({', '.join(names[:_NAMED])}{', ...' if len(names) > _NAMED else ''})"
