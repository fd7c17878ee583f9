"""TLS contexts of sinks, made anew at each connect."""

import ssl
from collections.abc import Callable
from pathlib import Path

from gateway.core.bounded_file import read_bounded
from gateway.core.errors import NotConnected
from gateway.sinks.access.config import ClientTls


def tls_context(config: ClientTls, section: str) -> ssl.SSLContext:
    """Read the files and return a context: TLS 1.2 at least, certificate and host name checked unless `insecure`.

    Reads files, so it belongs on a thread. Raises NotConnected that names the key below `section`: a file that is missing
    now may be there at the next attempt (renewal).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # else a server has handshakes made on the event loop, without end
    if config.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif config.ca is None:
        context.load_default_certs()
    else:
        _read(f"{section}.ca", config.ca, context.load_verify_locations)
    if config.cert is not None and config.key is not None:
        key = config.key
        _read(f"{section}.key", key, lambda path: path.open("rb").close())
        # An empty password: OpenSSL would ask for one on the terminal if the key were encrypted.
        _read(f"{section}.cert", config.cert, lambda path: context.load_cert_chain(path, key, password=""))
    return context


def _read(setting: str, path: Path, load: Callable[[Path], None]) -> None:
    try:
        read_bounded(path)  # OpenSSL would wait for a pipe for ever
        load(path)
    except ssl.SSLError as error:
        raise NotConnected(f"{setting}: {path} cannot be used ({error.reason or 'no certificate in PEM format'})") from error
    except OSError as error:
        raise NotConnected(f"{setting}: cannot read {path} ({error.strerror})") from error
