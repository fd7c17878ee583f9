"""The OCSP answer that a broker staples to its handshake (RFC 6066, 8). Blocks: for a thread. Only this file knows OpenSSL.

Python's ssl does not ask for it. So it is fetched by a handshake of its own, which checks nothing and sends nothing: the
answer is signed by the authority and names the certificate, so it is worth the same whichever connection brought it.
"""

import select
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from OpenSSL import SSL

from gateway.core.bounded_file import read_bounded
from gateway.core.errors import NotConnected
from gateway.sinks.mqtt.address import Address
from gateway.sinks.mqtt.config import MqttTls
from gateway.sinks.mqtt.ocsp import objection


@dataclass(frozen=True, slots=True)
class Staple:
    """answer: b"" where the broker staples none; chain: the certificates that it shows."""

    answer: bytes
    chain: Sequence[x509.Certificate]


def require_staple(
    dial: Callable[[], socket.socket], address: Address, tls: MqttTls, leaf_der: bytes, timeout_s: float
) -> None:
    """Return if the broker staples an answer that its certificate is good. Raises NotConnected and OSError.

    dial: connects to the broker once more, the same way as before.
    """
    try:
        leaf = x509.load_der_x509_certificate(leaf_der)
        known = x509.load_pem_x509_certificates(read_bounded(tls.ca)) if tls.ca else []
        staple = fetch_staple(dial, address, tls, timeout_s)
        reason = objection(staple.answer, leaf, [*staple.chain, *known], datetime.now(UTC))
    except ValueError:
        reason = "it cannot be read"
    if reason:
        raise NotConnected(
            f"{address}: the broker's certificate is not proven to be unrevoked, as mqtt.tls.ocsp asks: {reason}",
            security="certificate_refused",
        )


def fetch_staple(dial: Callable[[], socket.socket], address: Address, tls: MqttTls, timeout_s: float) -> Staple:
    """Connect, make a handshake and hang up. Raises OSError, NotConnected."""
    answers: list[bytes] = []

    def keep(_connection: SSL.Connection, answer: bytes, _data: object) -> bool:
        answers.append(answer)
        return True

    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_verify(SSL.VERIFY_NONE)
    context.set_ocsp_client_callback(keep)
    if tls.alpn:
        context.set_alpn_protos([name.encode() for name in tls.alpn])
    if tls.cert is not None and tls.key is not None:  # a broker may not show all of its handshake to a stranger
        context.use_certificate_chain_file(str(tls.cert))
        context.use_privatekey_file(str(tls.key))
    with dial() as sock:
        sock.setblocking(False)
        connection = SSL.Connection(context, sock)
        connection.set_tlsext_host_name((tls.server_name or address.host).encode("idna"))  # asks an address, too: harmless
        connection.set_connect_state()
        connection.request_ocsp()
        try:
            _handshake(connection, sock, timeout_s)
        except SSL.Error:
            raise NotConnected(f"{address}: TLS failed when the broker's OCSP answer was asked for") from None
        chain = connection.get_peer_cert_chain(as_cryptography=True) or []
    return Staple(answers[-1] if answers else b"", chain)


def _handshake(connection: SSL.Connection, sock: socket.socket, timeout_s: float) -> None:
    end_s = time.monotonic() + timeout_s
    while True:
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            awaited = select.POLLIN
        except SSL.WantWriteError:
            awaited = select.POLLOUT
        else:
            return
        poll = select.poll()
        poll.register(sock, awaited)
        if not poll.poll(max(0.0, end_s - time.monotonic()) * 1e3):
            raise TimeoutError
