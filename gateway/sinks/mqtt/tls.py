"""The TLS side of the connection to the broker."""

import ssl
from collections.abc import Callable
from pathlib import Path

from gateway.core.errors import NotConnected
from gateway.sinks.mqtt.config import MqttTls


def tls_context(config: MqttTls) -> ssl.SSLContext:
    """Read the files and build a context: TLS 1.2 at least, certificate and host name checked unless `insecure`.

    Reads files, so it belongs on a thread. Raises NotConnected that names the setting: a file that is missing now may
    be there at the next attempt (renewal).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if config.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif config.ca is None:
        context.load_default_certs()
    else:
        _read("ca", config.ca, context.load_verify_locations)
    if config.cert is not None and config.key is not None:
        key = config.key
        _read("key", key, lambda path: path.open("rb").close())
        # An empty password: OpenSSL would ask for one on the terminal if the key were encrypted.
        _read("cert", config.cert, lambda path: context.load_cert_chain(path, key, password=""))
    return context


def _read(setting: str, path: Path, load: Callable[[Path], None]) -> None:
    try:
        load(path)
    except ssl.SSLError as error:
        reason = error.reason or "no certificate in PEM format"
        raise NotConnected(f"mqtt.tls.{setting}: {path} cannot be used ({reason})") from error
    except OSError as error:
        raise NotConnected(f"mqtt.tls.{setting}: cannot read {path} ({error.strerror})") from error
