"""The backlog that a new sink begins with: what waits for another one, copied when the gateway starts."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from gateway.core.messages import Message
from gateway.outbox.database.inspect import Inspection, inspection
from gateway.outbox.outbox import Outbox
from gateway.outbox.records import LOSS_LANE

_AT_ONCE: Final = 200


async def fill(outbox: Outbox, donor: Path, key_file: str, wants: Callable[[str], bool]) -> int:
    """Copy what waits in a file to an outbox that is open and not yet run. Returns how many messages.

    donor: the file, which nobody writes to meanwhile. wants: by the topic of a message. Loss records are not copied:
    they are about what the other sink has lost. Raises as `inspection`.
    """
    count = 0
    with inspection(donor, key_file) as stored:
        rows = _messages(stored, wants)
        while some := list(islice(rows, _AT_ONCE)):
            count += len(some)
            await outbox.adopt(some)
    return count


def _messages(stored: Inspection, wants: Callable[[str], bool]) -> Iterator[Message]:
    for row in stored.rows():
        if row.message is not None and row.lane != LOSS_LANE and wants(row.message.topic):
            yield row.message
