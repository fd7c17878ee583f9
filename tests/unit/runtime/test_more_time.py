"""systemd is asked for time while a step of the start goes on."""

import threading

from gateway.runtime.more_time import MoreTime


class Manager:
    """In place of a `Notifier`: remembers, and tells when it was asked `count` times."""

    def __init__(self, count: int) -> None:
        self.lines: list[str] = []
        self._count = count
        self.is_enough = threading.Event()

    def send(self, *lines: str) -> None:
        self.lines += lines
        if self.lines.count("EXTEND_TIMEOUT_USEC=60000000") >= self._count:
            self.is_enough.set()


def test_time_is_asked_for_again_and_again_while_the_step_holds_the_process_and_not_afterwards() -> None:
    manager = Manager(3)
    with MoreTime(manager, "reading", again_s=0.001):
        assert manager.lines[:2] == ["EXTEND_TIMEOUT_USEC=60000000", "STATUS=reading"]
        assert manager.is_enough.wait(30)
    said = len(manager.lines)
    assert not [one for one in threading.enumerate() if one.name == "more time"]
    assert len(manager.lines) == said
