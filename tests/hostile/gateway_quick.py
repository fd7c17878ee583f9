"""The gateway as it is, but for the waits between attempts to connect, so that a row finds what the one before it has ended."""

from gateway.__main__ import main
from gateway.core import backoff

if __name__ == "__main__":
    _, _, uniform = backoff.full_jitter.__defaults__  # type: ignore[misc]
    backoff.full_jitter.__defaults__ = (0.2, 0.4, uniform)
    main()
