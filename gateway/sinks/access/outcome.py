"""The outcome of a message that goes out in several pieces."""

import asyncio

from gateway.core.errors import GatewayError


def end(future: "asyncio.Future[None]", error: GatewayError | None) -> None:
    """End a future with None or an error, unless it has ended."""
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
        future.exception()  # counts as seen: whoever asked may have gone, and the log is not the place for it


class Outcome:
    """The future of a message, which ends with its last piece, or with the first error of one."""

    __slots__ = ("future", "left")

    def __init__(self, pieces: int) -> None:
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.left = pieces

    def end(self, error: GatewayError | None) -> None:
        """Count the end of one piece."""
        self.left -= 1
        if error is not None or self.left == 0:
            end(self.future, error)
