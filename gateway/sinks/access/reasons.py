"""Why a connection could not be made, in words that say what to do."""

import socket
import ssl
from typing import Final

from gateway.core.errors import NotConnected

_NAMES_DIFFER: Final = frozenset({62, 64})  # X509_V_ERR_HOSTNAME_MISMATCH, _IP_ADDRESS_MISMATCH (openssl/x509_vfy.h)
_NOT_YET, _EXPIRED = 9, 10


def unreachable(error: BaseException, host: str, port: int, section: str) -> NotConnected:
    """Return the error for a connection that could not be made: name, TCP or TLS. section: of the configuration."""
    place = f"{host}:{port}"
    match error:
        case ssl.SSLCertVerificationError():
            return NotConnected(f"{place}: {_certificate(error, host, section)}", security="certificate_refused")
        case ssl.SSLError():
            reason = getattr(error, "reason", None) or "no reason given"
            text = f"{place}: TLS failed ({reason}): is this the server's TLS port?"
        case socket.gaierror() | UnicodeError():
            text = f"host name {host!r} cannot be resolved: check the address and the DNS server"
        case ConnectionRefusedError():
            text = f"{place} refuses the connection: is the server running, and is the port right?"
        case ConnectionResetError() | ConnectionAbortedError() | BrokenPipeError() | EOFError():
            text = f"{place} hung up: is the port right, and does it want TLS?"
        case TimeoutError():
            text = f"{place} does not answer in time: wrong address, firewall, or network down?"
        case OSError(strerror=str(reason)):
            text = f"{place}: {reason}"
        case _:
            text = f"{place}: the connection cannot be made"
    return NotConnected(text)


def _certificate(error: ssl.SSLCertVerificationError, host: str, section: str) -> str:
    what = error.verify_message.rstrip(".")
    if error.verify_code in _NAMES_DIFFER:
        return f"the server's certificate is not for {host!r}: use the name in the certificate ({what})"
    if error.verify_code == _NOT_YET:
        return "the server's certificate is not valid yet: check this machine's clock"
    if error.verify_code == _EXPIRED:
        return "the server's certificate has expired: renew it, or check this machine's clock"
    return f"the server's certificate is not trusted: set {section}.tls.ca to its authority's PEM file ({what})"
