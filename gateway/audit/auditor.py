"""The auditor of a subscription: parses each message, counts it, and finds out whether anything is missing."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.audit.ledger import Ledger, Report
from gateway.audit.traffic_stats import Absence, TrafficStats
from gateway.core.decoded_message import DecodedMessage, Foreign, Malformed
from gateway.core.ports.layout_plugin import Proof, Reader
from gateway.core.ports.sink import ReceivedMessage
from gateway.encoding.decoder import parse
from gateway.encoding.topics import CONTRACT_VERSION

_MOST_NAMES: Final = 1_000_000
"""Of tags in descriptions, that are kept to read windows in columns with."""
_BACKLOG_S: Final = 5.0
"""How long the messages that a broker has kept may take to arrive after a reconnect, before new ones come. A gap within this
time counts as unproven, not as missing."""


class Auditor:
    """The subscriber's bookkeeping: each message of a subscription is parsed, counted and entered into the ledger."""

    def __init__(self, root: str, readers: Sequence[Reader], *, from_start: bool = False, is_shared: bool = False) -> None:
        """Begin with nothing received.

        root: what the contract's topics begin with. readers: of layouts whose payloads are not the contract's.
        from_start: all sequences must begin with 1. is_shared: others publish where we listen, so what is neither below
        `root` nor a reader's is just counted.
        """
        self.stats = TrafficStats()
        self._root = root
        self._readers = readers
        self._is_shared = is_shared
        self._ledger = Ledger(from_start=from_start)
        self._backlog_ends_at = math.inf
        self._sets: dict[str, list[str]] = {}
        self._names_left = _MOST_NAMES

    def add(self, message: ReceivedMessage) -> DecodedMessage | None:
        """Count a message and return it, None where it is not from a gateway. Raises Malformed after counting that, too."""
        try:
            decoded, proofs = self._parse(message)
        except Foreign:
            if self._is_shared and not message.topic.startswith(f"{self._root}/{CONTRACT_VERSION}/"):
                self.stats.foreign += 1
                return None
            self.stats.malformed += 1
            raise
        except Malformed:
            self.stats.malformed += 1
            raise
        if decoded is None:
            return None
        self.stats.count(decoded, len(message.payload))
        if self.stats.now() > self._backlog_ends_at:
            self._backlog_ends_at = math.inf
            self._ledger.backlog_received()
        for topic, body in proofs:
            self._enter(
                topic, body, is_repeated=message.is_repeated, is_kept=message.is_kept, is_fleeting=message.is_fleeting
            )
        return decoded

    def _enter(self, topic: str, body: Mapping[str, Any], **flags: bool) -> None:
        try:
            self._ledger.add(topic, body, **flags)
        except Malformed:
            self.stats.malformed += 1
            raise

    def was_away(self, absence: Absence) -> None:
        """Record that the subscription had no connection for a while."""
        self.stats.was_away(absence)
        self._ledger.was_away(kept=absence.kept)
        for reader in self._readers:
            reader.was_away()
        self._backlog_ends_at = self.stats.now() + _BACKLOG_S

    def report(self) -> Report:
        """Return the proof as of now."""
        return self._ledger.report()

    def footnotes(self, topics: Sequence[str]) -> list[str]:
        """Return sentences that explain the sequence numbers of these topics."""
        return [reader.footnote for reader in self._readers if any(map(reader.is_mine, topics))]

    def _parse(self, message: ReceivedMessage) -> tuple[DecodedMessage | None, Sequence[Proof]]:
        reader = next((reader for reader in self._readers if reader.is_mine(message.topic)), None)
        if reader is not None:
            return reader.read(message.topic, message.payload, is_repeated=message.is_repeated)
        decoded = parse(message.topic, message.payload, self._root, self._sets)
        if decoded.kind == "tags" and decoded.body["set"] not in self._sets and self._names_left > 0:
            names = [str(tag.get("name")) for tag in decoded.body["tags"] if isinstance(tag, dict)]
            self._names_left -= 1 + len(names)
            self._sets[decoded.body["set"]] = names
        return decoded, [(decoded.topic, decoded.body)]
