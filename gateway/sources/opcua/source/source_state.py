"""What outlives a connection: everything that is known of a device from one connection to the next."""

import numpy as np

from gateway.core.ports.plugin import SourceServices
from gateway.sources.opcua.port.session import Connect
from gateway.sources.opcua.source.alarms import Alarms
from gateway.sources.opcua.source.device_history import DeviceHistory
from gateway.sources.opcua.source.model_watch import ModelWatch
from gateway.sources.opcua.source.poison_state import PoisonState
from gateway.sources.opcua.source.reading_queue import ReadingQueue
from gateway.sources.opcua.source.redundancy import RedundantServers
from gateway.sources.opcua.source.resume_filter import ResumeFilter
from gateway.sources.opcua.source.source_device import SourceDevice
from gateway.sources.opcua.source.staleness import Staleness
from gateway.sources.opcua.source.statistics import Statistics
from gateway.sources.opcua.source.value_memory import ValueMemory


class SourceState:
    """The lasting parts of one source."""

    def __init__(self, device: SourceDevice, services: SourceServices, connect: Connect, queue_samples: int) -> None:
        """Begin with nothing known. queue_samples: how many may wait for the reader; at least four per tag."""
        config, items, intervals = device.config, device.items, device.intervals
        exact = np.array([item.filter.is_exact for item in items], np.bool_)
        staleness = Staleness(len(items), config.silence / 1e9, device.clock.monotonic(), exact, intervals)
        resume_filter = ResumeFilter(device.columns.first_tag, len(device.tags), polled=not device.is_subscribed)
        self.history = DeviceHistory(device, services.watermarks) if config.history else None
        """None where no history is read."""
        self.memory = ValueMemory(staleness, resume_filter, self.history.gaps if self.history else None)
        self.queue = ReadingQueue(max(queue_samples, 4 * len(device.tags)))
        self.servers = RedundantServers(config, connect, device.clock, intervals)
        self.poison = PoisonState(len(items), intervals)
        self.statistics = Statistics()
        self.alarms = Alarms(device.number, config.events, config.clock_tolerance)
        self.model_watch = ModelWatch(device, services.take_tags)
        self._device = device

    def on_connected(self, *, resumed: bool) -> None:
        """Record that a connection is open. resumed: it took over the session of the one before, with its subscriptions.

        A gap begins where something was received last: it includes what overflowed the server's queues meanwhile.
        """
        now_s = self._device.clock.monotonic()
        self.statistics.on_opened(now_s)
        self.memory.staleness.on_connected(now_s)
        if self._device.is_subscribed:
            self.memory.resume_filter.on_connected(resumed=resumed)
        if self.history is not None:
            self.history.on_connected()

    def notes(self) -> str:
        """Return a sentence of each part that has something to say for the device state."""
        return "; ".join(
            text for text in (self.servers.state_text, self.model_watch.state_text, self.poison.state_text) if text
        )
