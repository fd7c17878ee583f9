"""Find out what the messages have in common for which a far end ends the connection. Pure: time is passed in."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.core.messages import Message
from gateway.core.retry_timer import DoublingDelay

_FIRST_PROBE_S, _LONGEST_PROBE_S = 5.0, 300.0
_LEAST_SPAN_S: Final = 120.0
_MOST_GROUPS: Final = 5_000
_MOST_KEPT: Final = 100
_TWO: Final = 2

_Key = tuple[str, str, int]


@dataclass(slots=True)
class _Group:
    """What is held against the topics of one device, or of the gateway itself: those with the same levels but the last."""

    since: float
    """The first end of a connection, monotonic seconds."""
    together: Counter[str] = field(default_factory=Counter)
    """Connections in a row that ended while a topic was in flight with others; twice makes it a suspect."""
    blamed: set[str] = field(default_factory=set)
    """Topics of which a message was alone in flight then, or that the far end has named."""
    cleared: set[str] = field(default_factory=set)
    """Topics of which a message has passed since."""
    culprits: set[_Key] = field(default_factory=set)
    """Messages that were alone."""
    breaks: int = 0
    """Connections that ended with one of its messages alone, after others had passed."""
    passed: int = 0
    """Acceptances of other messages when that was last counted."""
    delay: DoublingDelay = field(default_factory=lambda: DoublingDelay(_FIRST_PROBE_S, _LONGEST_PROBE_S))
    due: float = 0.0
    """When one of its messages may be tried, monotonic seconds."""
    is_judged: bool = False
    """At the last end there was enough against it."""
    reason: str = ""
    """What the far end said last."""

    def holds(self, topic: str) -> bool:
        """Return whether a topic is suspected: for itself, or since another one of the device is to blame."""
        if topic in self.blamed or self.is_suspect(topic):
            return True
        return bool(self.blamed) and topic not in self.cleared

    def is_suspect(self, topic: str) -> bool:
        """Return whether a topic was in flight, with others, too often to be chance."""
        return self.together[topic] >= _TWO


class SuspectTopics:
    """Topics for which a far end may end connections: an access list can want that (`disconnect` for what is forbidden).

    Every topic that was in flight at two ends in a row is suspected. What is suspected is held back while all else goes
    first; then one message of each topic is tried alone. One that passes clears its topic; one with which the connection
    ends puts the blame on its topic, and on all topics of its device of which nothing has passed since. Of these one
    message is tried now and then, another one each time, after 5 seconds and up to 5 minutes. A reason that names a topic
    is believed at once.

    After `tries` such ends over two minutes at least, with different messages and others passing in between, their messages
    are refused (`verdict`), but for those that are tried.
    """

    def __init__(self, tries: int = 5) -> None:
        """Suspect nothing yet."""
        self._tries = tries
        self._groups: dict[str, _Group] = {}
        self._passed = 0

    def accepted(self, message: Message) -> None:
        """Clear the topic of a message: the far end has taken one."""
        self._passed += 1
        if not self._groups:
            return
        device = _device(message.topic)
        group = self._groups.get(device)
        if group is None:
            return
        group.together.pop(message.topic, None)
        group.blamed.discard(message.topic)
        if not group.together and not group.blamed:
            del self._groups[device]
        elif len(group.cleared) < _MOST_KEPT:
            group.cleared.add(message.topic)

    def ended(self, messages: Sequence[Message], now: float, reason: str, *, alone: bool) -> None:
        """Record that the far end has ended the connection with these in flight. alone: one, and nothing else."""
        named = next((one for one in sorted(messages, key=_longest_topic) if one.topic in reason), None)
        culprit = messages[0] if alone else named
        if culprit is not None:
            self._blame(culprit, now, reason)
            return
        for topic in {message.topic for message in messages}:
            group = self._group(_device(topic), now)
            if topic not in group.blamed:
                group.together[topic] += 1
                group.cleared.discard(topic)

    def is_suspect(self, topic: str) -> bool:
        """Return whether messages of a topic are held back, and tried alone."""
        group = self._groups.get(_device(topic)) if self._groups else None
        return group is not None and group.holds(topic)

    def may_try(self, message: Message, now: float) -> bool:
        """Return whether a message that is held back may be tried now."""
        group = self._groups.get(_device(message.topic))
        return group is None or group.is_suspect(message.topic) or now >= group.due

    def rank(self, topic: str) -> int:
        """Return how likely it is that a topic ends the connection: what is less likely is tried first."""
        group = self._groups.get(_device(topic))
        if group is None or not group.holds(topic):
            return 0
        return 3 if topic in group.blamed else int(bool(group.blamed)) if group.is_suspect(topic) else 2

    def was_culprit(self, message: Message) -> bool:
        """Return whether the connection has ended with it alone: another one of its device says more."""
        group = self._groups.get(_device(message.topic))
        return group is not None and _key(message) in group.culprits

    def verdict(self, message: Message, now: float) -> str:
        """Return why a message is refused, as a sentence part; empty while it is not."""
        group = self._groups.get(_device(message.topic)) if self._groups else None
        if group is None or not group.holds(message.topic):
            return ""
        span_s = now - group.since
        if not group.is_judged:
            return ""
        what = f"sending {message.topic if message.topic in group.blamed else _device(message.topic) + '/#'}"
        count = f"{group.breaks} times in {span_s:.0f} s"
        return f"{what} ended the connection {count}, while others passed; at last: {group.reason}"

    def blame_of(self, topic: str) -> int:
        """Return how many different messages speak against a topic or its device."""
        group = self._groups.get(_device(topic))
        return len(group.culprits) if group is not None and group.holds(topic) else 0

    def _blame(self, message: Message, now: float, reason: str) -> None:
        group = self._group(_device(message.topic), now)
        group.together.pop(message.topic, None)
        group.cleared.discard(message.topic)
        group.blamed.add(message.topic)
        if len(group.culprits) < _MOST_KEPT:
            group.culprits.add(_key(message))
        group.breaks += self._passed > group.passed
        group.passed = self._passed
        group.due = now + group.delay.next_s()
        is_long = now - group.since >= _LEAST_SPAN_S
        group.is_judged = group.breaks >= self._tries and is_long and len(group.culprits) >= _TWO
        group.reason = reason

    def _group(self, device: str, now: float) -> _Group:
        if device not in self._groups:
            while len(self._groups) >= _MOST_GROUPS:
                del self._groups[next(iter(self._groups))]
            self._groups[device] = _Group(now)
        return self._groups[device]


def _longest_topic(message: Message) -> int:
    return -len(message.topic)


def _device(topic: str) -> str:
    return topic.rpartition("/")[0]


def _key(message: Message) -> _Key:
    return message.boot, message.topic, message.seq
