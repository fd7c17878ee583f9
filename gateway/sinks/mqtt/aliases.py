"""Which topics are sent as a number (MQTT 5.0, 3.3.2.3.4). Pure."""

from collections import Counter
from typing import Final

_LOOK_EVERY: Final = 16
_MOST_TOPICS: Final = 10_000


class TopicAliases:
    """The topic aliases of one connection, for the topics used most.

    A topic is left out only when a message with topic and alias has been acknowledged: a broker that has refused that one
    may not know the alias, and would end the connection.
    """

    def __init__(self, most: int) -> None:
        """most: the broker's Topic Alias Maximum."""
        self._free = iter(range(1, most + 1))
        self._uses: Counter[str] = Counter()
        self._alias: dict[str, int] = {}
        self._known: set[str] = set()

    def use(self, topic: str) -> tuple[str, int]:
        """Return what to send as topic and alias; alias 0 is none."""
        self._uses[topic] += 1
        if topic not in self._alias and self._uses[topic] > 1:
            self._give(topic)
        if len(self._uses) > _MOST_TOPICS:
            self._uses = Counter({topic: self._uses[topic] for topic in self._alias})
        return ("" if topic in self._known else topic), self._alias.get(topic, 0)

    def acknowledged(self, topic: str, alias: int) -> None:
        """Record that a message with both has arrived."""
        if self._alias.get(topic) == alias:
            self._known.add(topic)

    def _give(self, topic: str) -> None:
        alias = next(self._free, 0)
        if not alias and self._alias and self._uses[topic] % _LOOK_EVERY == 0:
            rarest = min(self._alias, key=self._uses.__getitem__)
            if 2 * self._uses[rarest] < self._uses[topic]:
                self._known.discard(rarest)
                alias = self._alias.pop(rarest)
        if alias:
            self._alias[topic] = alias
