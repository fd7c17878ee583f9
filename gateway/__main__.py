"""`python -m gateway` and the `gateway` command."""

import os
import sys

from gateway.cli.main import app


def main() -> None:
    """Run the command line, also where somebody has closed standard output or error."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - as long as the process
    app(prog_name="gateway")


if __name__ == "__main__":
    main()
