"""What the status topic and the status line say of the configuration."""

from collections.abc import Mapping

from gateway.core.events.event import Event
from gateway.core.events.gateway import ConfigurationRefused, ReloadResult
from gateway.settings import Settings

ROOT_FILE = "gateway.yaml"


class ConfigurationState:
    """Which parts of the configuration cannot be used, and how the last reload ended.

    Attributes:
        refused: The first problem of each device, or of `gateway.yaml`, that cannot be used, by name.
        kept: Those of them that run as the last configuration that ran says.
    """

    def __init__(self, settings: Settings) -> None:
        self.refused: dict[str, str] = {}
        self.kept: list[str] = []
        self._reload: dict[str, object] = {}
        self.follow(settings)

    def follow(self, settings: Settings) -> None:
        """Describe other settings from now on."""
        self.refused = {one.name: one.reason for one in settings.refused}
        self.kept = [one.name for one in settings.refused if one.is_kept]
        if settings.refused_root:
            self.refused[ROOT_FILE] = settings.refused_root
            self.kept.append(ROOT_FILE)

    def reloaded(self, result: ReloadResult, now_ns: int, problem: str | None) -> None:
        """Record how a reload ended."""
        self._reload = {"result": result, "ts": now_ns // 1_000_000} | ({"problem": problem} if problem else {})

    @property
    def not_running(self) -> dict[str, str]:
        """Return the devices that do not run, and why."""
        return {name: reason for name, reason in self.refused.items() if name not in self.kept}

    @property
    def fields(self) -> Mapping[str, object]:
        """Return the part of the status message about it, empty where there is nothing to say."""
        parts = {"refused": self.refused, "kept": self.kept, "reload": self._reload}
        return {name: part for name, part in parts.items() if part}

    @property
    def line(self) -> str:
        """Return it as a part of the status line; empty where all can be used."""
        if not self.refused:
            return ""
        return f"DEGRADED: the configuration of {', '.join(list(self.refused)[:3])} cannot be used; "

    def events(self, now_ns: int) -> list[Event]:
        """Return an event for each part that cannot be used."""
        return [
            ConfigurationRefused(time_ns=now_ns, name=name, problem=reason, runs="last" if name in self.kept else "nothing")
            for name, reason in self.refused.items()
        ]
