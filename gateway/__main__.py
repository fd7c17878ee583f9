"""`python -m gateway` and the `gateway` command."""

import os
import signal
import sys

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
        from gateway.cli.main import app

        app(prog_name="gateway")
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # another one would be a traceback of the interpreter's end
        sys.exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
