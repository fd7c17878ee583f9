"""A TLS terminator before a broker that staples an OCSP answer, as a load balancer does. OpenSSL on a thread of its own."""

import select
import socket
import threading
from pathlib import Path
from typing import Any, Self

from OpenSSL import SSL


class StaplingProxy:
    """Listens on loopback, speaks TLS, and hands all on to `127.0.0.1:target`. `with StaplingProxy(...) as proxy`.

    answer: what is stapled, b"" for nothing; may be changed. asked: how many handshakes have asked for it.
    """

    def __init__(self, target: int, certificate: Path, key: Path, answer: bytes) -> None:
        self.answer = answer
        self.asked = 0
        self._target = target
        self._context = SSL.Context(SSL.TLS_SERVER_METHOD)
        self._context.use_certificate_chain_file(str(certificate))
        self._context.use_privatekey_file(str(key))
        self._context.set_ocsp_server_callback(self._staple)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def _staple(self, _connection: SSL.Connection, _data: Any) -> bytes:
        self.asked += 1
        return self.answer

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, socket.create_connection(("127.0.0.1", self._target)) as broker:
            secured = SSL.Connection(self._context, sock)
            secured.set_accept_state()
            try:
                secured.do_handshake()
                while True:
                    if not secured.pending():
                        ready, _, _ = select.select([sock, broker], [], [], 30)
                        if not ready:
                            return
                        if broker in ready:
                            secured.sendall(broker.recv(65_536))
                            continue
                    broker.sendall(secured.recv(65_536))
            except (SSL.Error, OSError):
                return
