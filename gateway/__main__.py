"""`python -m gateway` and the `gateway` command."""

import os
import signal
import sys
from collections.abc import Sequence

_INTERRUPTED = 130  # 128 and the number of SIGINT, as shells have it


def main() -> None:
    """Run the command line.

    It also works where standard output or error is closed, where Ctrl-C comes during the imports, and where the terminal
    does not know all characters.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - as long as the process
        getattr(sys, name).reconfigure(errors="replace")
    try:
        _configure_logs(sys.argv)
        from gateway.cli.main import app

        app(prog_name="gateway")
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # another one would be a traceback of the interpreter's end
        sys.exit(_INTERRUPTED)


def _configure_logs(words: Sequence[str]) -> None:
    """Send what libraries and the gateway's parts log during a command to standard error, cleaned, from warnings on.

    `gateway run` chooses level and format anew. words: of the command line; help is shown without the 30 ms that this takes.
    """
    if not {"-h", "--help", "--version"} & {*words}:
        from gateway.cli.logs import LogFormat, LogLevel, configure

        configure(LogLevel.warning, LogFormat.auto)


if __name__ == "__main__":
    main()
