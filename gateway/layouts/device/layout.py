"""The layout `device`: one topic per device and kind, as the contract says."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gateway.core.messages import Message
from gateway.core.ports.layout import Packet, Properties
from gateway.encoding.columns import in_style, without_names
from gateway.encoding.encoder import mark_hist
from gateway.encoding.formats import FORMATS, Format, FormatName
from gateway.layouts.device.message_parts import split


@dataclass(frozen=True, slots=True)
class DeviceLayout:
    """A `core.ports.layout.Layout`: each message on the topic it is stored with."""

    format: FormatName = "json"
    known_set: Callable[[str], str] = field(default=lambda base: "", compare=False)
    """As in `LayoutServices`."""

    def packets(self, message: Message, *, hist: bool, most_bytes: int) -> Sequence[Packet]:
        """Return the message in its format, marked when it comes from backlog, in several parts where it is too large."""
        form = FORMATS[self.format]
        document = in_style(mark_hist(message.payload) if hist else message.payload, message.topic, columns=form.columns)
        if form.columns and (known := self.known_set(message.topic.rpartition("/")[0])):
            document = without_names(document, known)
        payloads = split(document, form, most_bytes)
        if len(payloads) == 1:
            return [Packet(message.topic, payloads[0], properties=properties_of(message, form))]
        count = len(payloads)
        return [
            Packet(message.topic, payload, properties=properties_of(message, form, (k, count)))
            for k, payload in enumerate(payloads, 1)
        ]


def properties_of(message: Message, form: Format, part: tuple[int, int] = (1, 1)) -> Properties:
    """Return the content type and, as user properties, what identifies a packet: boot, seq, and the part of several."""
    user = (("boot", message.boot), ("seq", str(message.seq)))
    return Properties(form.content_type, user if part[1] == 1 else (*user, ("part", f"{part[0]}/{part[1]}")))
