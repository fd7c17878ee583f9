"""Which layout a message gets: the gateway's, or its device's own."""

from collections.abc import Mapping, Sequence

from gateway.core.messages import Message
from gateway.core.ports.layout import Layout, Packet
from gateway.encoding.config import DeviceLayoutConfig, LayoutConfig
from gateway.encoding.topics import Topics
from gateway.layouts.device.layout import DeviceLayout
from gateway.layouts.tag.layout import TagLayout, TagTopics


class PerDevice:
    """A `core.ports.Layout` that hands each message to the layout of its device.

    Messages of the gateway itself, and of devices that are no longer configured, go to `usual`.
    """

    def __init__(self, topics: Topics, usual: Layout, own: Mapping[int, Layout]) -> None:
        """own: layouts by a device's number."""
        self._usual = usual
        self._own = {f"{topics.base}/{topics.devices[number]}": layout for number, layout in own.items()}

    def packets(self, message: Message, *, hist: bool, most_bytes: int) -> Sequence[Packet]:
        """As the device's layout does it."""
        layout = self._own.get(message.topic.rpartition("/")[0], self._usual)
        return layout.packets(message, hist=hist, most_bytes=most_bytes)


def layout_for(general: LayoutConfig, devices: Sequence[DeviceLayoutConfig], topics: Topics) -> Layout:
    """The layout of a gateway. devices: what each device says for itself, in table order."""
    own: dict[int, Layout] = {}
    for number, device in enumerate(devices):
        config = device.over(general)
        if config.layout == "tag":
            own[number] = TagLayout(config, TagTopics.of(config, topics, number))
        elif config.format != general.format:
            own[number] = DeviceLayout(config.format)
    usual = DeviceLayout(general.format)
    return PerDevice(topics, usual, own) if own else usual
