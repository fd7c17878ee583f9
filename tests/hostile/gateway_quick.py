"""The gateway as it is, but for the waits between attempts to connect: a row finds connected what the one before has
ended."""

from gateway.__main__ import main
from gateway.core import backoff

if __name__ == "__main__":
    _, _, uniform = backoff.full_jitter.__defaults__  # type: ignore[misc]
    backoff.full_jitter.__defaults__ = (0.2, 0.4, uniform)
    main()
