"""The layout `device`: the contract as it stands in the README, one topic per device and kind."""

from collections.abc import Sequence

from gateway.core.messages import Message
from gateway.core.ports.layout import Packet, Properties
from gateway.encoding.encoder import mark_hist
from gateway.encoding.formats import FORMATS, Format, FormatName
from gateway.encoding.message_parts import split


class DeviceLayout:
    """A `core.ports.Layout`: each message on the topic it is stored with."""

    def __init__(self, form: FormatName = "json") -> None:
        self._form = FORMATS[form]

    def packets(self, message: Message, *, hist: bool, most_bytes: int) -> Sequence[Packet]:
        """The message in its format, marked when it comes from backlog, in several parts where it is too large."""
        document = mark_hist(message.payload) if hist else message.payload
        payloads = split(document, self._form, most_bytes)
        if len(payloads) == 1:
            return [Packet(message.topic, payloads[0], properties=properties_of(message, self._form))]
        count = len(payloads)
        return [
            Packet(message.topic, payload, properties=properties_of(message, self._form, (k, count)))
            for k, payload in enumerate(payloads, 1)
        ]


def properties_of(message: Message, form: Format, part: tuple[int, int] = (1, 1)) -> Properties:
    """Content type, and as user properties what identifies a packet: boot, seq, and the part where there are several."""
    user = (("boot", message.boot), ("seq", str(message.seq)))
    return Properties(form.content_type, user if part[1] == 1 else (*user, ("part", f"{part[0]}/{part[1]}")))
