"""The demo's gateway: the ordinary command line, but it stops in order when the demo has gone, however that went."""

import os
import signal
import threading

from gateway.cli.main import app


def _stop_at_end_of_input() -> None:
    while os.read(0, 1):  # not sys.stdin, whose lock would be held when the interpreter ends
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_stop_at_end_of_input, name="demo alive", daemon=True).start()
    app(prog_name="gateway")
