"""A witness of what the database should hold, kept beside it: what vanishes while the gateway is stopped is known. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from gateway.core.messages import Loss
from gateway.outbox.database.topic_counts import TopicCount, TopicCounts, TopicKey

MOST_BYTES: Final = 4_000
"""One block of the lock's file."""

GONE: Final = "the outbox's file was deleted, or an older one put in its place, while the gateway was stopped"


@dataclass(frozen=True, slots=True)
class Witness:
    """The number of the last commit that has changed messages, and whose messages there were."""

    commits: int = 0
    messages: int = 0
    topic_counts: TopicCounts | None = None
    """As many as there is room for."""

    def written(self) -> bytes:
        """Return it as text of at most `MOST_BYTES`, the topics of most messages first."""
        counts = sorted((self.topic_counts or {}).items(), key=lambda item: -item[1].messages)
        while True:
            topics = [[*of, *count] for of, count in counts]
            text = orjson.dumps({"commits": self.commits, "messages": self.messages, "topics": topics})
            if len(text) <= MOST_BYTES or not counts:
                return text
            counts = counts[: len(counts) * 3 // 4]


def read(text: bytes) -> Witness:
    """Return a witness from its text; an empty one where there is none, which witnesses nothing."""
    try:
        fields: dict[str, Any] = orjson.loads(text.strip(b" \n\0"))
        rows = fields["topics"]
        counts = {(str(topic), str(boot)): TopicCount(*map(int, numbers)) for topic, boot, *numbers in rows}
        return Witness(int(fields["commits"]), int(fields["messages"]), counts)
    except (ValueError, KeyError, TypeError):
        return Witness()


def vanished(witness: Witness, commits: int, still: Mapping[TopicKey, tuple[int, int]]) -> Sequence[Loss] | None:
    """Return what an older or an empty file lacks, None where the file is not older than the witness.

    commits: the file's number. still: of each topic, how many messages it has that the witness counts, and the last number.
    """
    if commits >= witness.commits or not witness.messages:
        return None
    losses: list[Loss] = []
    for of, count in (witness.topic_counts or {}).items():
        there, last = still.get(of, (0, 0))
        gone = count.messages - there
        if gone > 0:
            first = last + 1 if there and count.last_seq - last >= gone else count.first_seq
            narrowed = count._replace(messages=gone, first_seq=first)
            losses.append(narrowed.loss(of, "damaged", GONE))
    return losses
