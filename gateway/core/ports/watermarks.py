"""The port of the watermarks: durable notes of a source about the samples that it has handed on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoredWatermark:
    """The content that an earlier run left under one key."""

    value: bytes
    """The content, as it was put; empty where it is lost."""
    is_certain: bool = True
    """Nothing was handed on beyond what `value` allows. False after a disk that took nothing, and for what was rescued from
    a damaged file: anything may have been handed on since `value` was put."""


class Watermarks(Protocol):
    """Small contents by key that survive a crash, kept in the outbox's file.

    A source hands nothing on before a content that allows it is durable. Contents of all sources are written in one
    transaction, together with messages where these are due for a commit anyway. Contents that are put without an await in
    between are written together or not at all. Keys lie in the file in their order: contents that change often get a prefix
    of their own, so that they share a page.
    """

    def load(self, key: str) -> StoredWatermark | None:
        """Return the newest content of a key, None where there never was one. To be called once the outbox is open."""
        ...

    def put(self, key: str, value: bytes) -> None:
        """Replace the content of a key in memory. It is durable about two seconds later, or sooner, see `flush`."""
        ...

    def is_durable(self, key: str) -> bool:
        """Return whether the newest content of the key is on the disk."""
        ...

    async def flush(self, key: str) -> bool:
        """Have the newest content of the key written now; return whether it is durable. Cancellable at any time.

        False as soon as the disk refuses, or is silent for five seconds, so that no source waits for it. The content is
        uncertain from then on, for a next run that finds it or the one before it, until another one is durable.
        """
        ...

    def before_commit(self, refresh: Callable[[], None]) -> None:
        """Call `refresh` before each commit, so that what it puts goes along. It must be quick and must not raise."""
        ...
