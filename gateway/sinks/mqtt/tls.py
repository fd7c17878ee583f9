"""The TLS side of the connection to the broker."""

import socket
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from gateway.core.bounded_file import read_bounded
from gateway.core.errors import NotConnected
from gateway.core.revocation_lists import is_pem_of_lists
from gateway.core.undo import undone_on_error
from gateway.sinks.access.certificates import Certificate, certificate_of, fingerprint
from gateway.sinks.mqtt.config import MqttTls

_CRL_CHECKS: Final = {"chain": ssl.VerifyFlags.VERIFY_CRL_CHECK_CHAIN, "leaf": ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF}


def tls_context(config: MqttTls) -> ssl.SSLContext:
    """Read the files and build a context: TLS 1.2 at least, certificate and host name checked unless `insecure`.

    Reads files, so it belongs on a thread. Raises NotConnected that names the setting: a file that is missing now may
    be there at the next attempt (renewal).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # else a broker has handshakes made on the event loop, without end
    if config.alpn:
        context.set_alpn_protocols(list(config.alpn))
    if config.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif config.ca is None:
        context.load_default_certs()
    else:
        _read("ca", config.ca, context.load_verify_locations)
    if config.crl is not None:
        _read("crl", config.crl, _revocation_lists)
        _read("crl", config.crl, context.load_verify_locations)
        context.verify_flags |= _CRL_CHECKS[config.crl_check]
    if config.cert is not None and config.key is not None:
        key = config.key
        _read("key", key, lambda path: path.open("rb").close())
        # An empty password: OpenSSL would ask for one on the terminal if the key were encrypted.
        _read("cert", config.cert, lambda path: context.load_cert_chain(path, key, password=""))
    return context


def secured(sock: socket.socket, host: str, config: MqttTls) -> tuple[ssl.SSLSocket, Certificate | None]:
    """Make the TLS handshake on a connected socket with a timeout; the broker's certificate beside it, if it can be read.

    Raises NotConnected for files and pins, OSError (with ssl.SSLError) for the rest. The socket is the caller's.
    """
    name = config.server_name or host
    wrapped = tls_context(config).wrap_socket(sock, server_hostname=name, do_handshake_on_connect=False)
    with undone_on_error(wrapped.close):  # the caller does not know this socket yet
        wrapped.do_handshake()
        der = wrapped.getpeercert(binary_form=True) or b""
        certificate = certificate_of("broker", der)
        if config.pin:
            _check_pin(config.pin, fingerprint(der), certificate)
    return wrapped, certificate


def _check_pin(pins: Sequence[str], whole: str, certificate: Certificate | None) -> None:
    key = certificate.key_fingerprint if certificate else ""
    if whole in pins or key in pins:
        return
    subject = f" ({certificate.subject})" if certificate else ""
    raise NotConnected(
        f"the broker's certificate{subject} has none of the fingerprints in mqtt.tls.pin; seen: public key "
        f"{key or 'unreadable'}, certificate {whole}. If the broker was given a new key on purpose, pin the public key's; "
        f"if not, somebody else answers",
        security="certificate_refused",
    )


def _revocation_lists(path: Path) -> None:
    if not is_pem_of_lists(read_bounded(path)):
        raise NotConnected(f"mqtt.tls.crl: {path} cannot be used; expected revocation lists in PEM format, and nothing else")


def _read(setting: str, path: Path, load: Callable[[Path], None]) -> None:
    try:
        read_bounded(path)  # OpenSSL would wait for a pipe for ever
        load(path)
    except ssl.SSLError as error:
        reason = error.reason or "no certificate in PEM format"
        raise NotConnected(f"mqtt.tls.{setting}: {path} cannot be used ({reason})") from error
    except OSError as error:
        raise NotConnected(f"mqtt.tls.{setting}: cannot read {path} ({error.strerror})") from error
