"""What went wrong, in words that say what to do. Codes and errors in, text and error families out; knows no client."""

import socket
import ssl

from gateway.core.errors import GatewayError, NotConnected, Permanent, Retryable
from gateway.core.foreign_text import LONGEST_TEXT, clean
from gateway.sinks.mqtt.read_pace import EMPTY_PER_S, MOST_EMPTY
from gateway.sinks.mqtt.types import PacketTooLarge

_ADVICE = {
    0x84: "set mqtt.version to the other one",
    0x85: "set mqtt.client_id",
    0x86: "check mqtt.username and mqtt.password",
    0x87: "check mqtt.username, mqtt.password and the broker's access list",
    0x8E: "another client uses the same client id: set mqtt.client_id",
    0x90: "the broker refuses the topic of the last will: check mqtt.root",
    0x95: "the broker takes only smaller packets",
    0x9A: "the broker keeps no retained messages",
    0x9B: "the broker does not take QoS 1",
}  # reason codes of CONNACK and DISCONNECT (MQTT 5.0, 3.2.2.2 and 3.14.2.1)
_LOGIN = frozenset({0x86, 0x87, 0x8A, 0x8C})  # user or password, not authorised, banned, authentication method
RETAIN_NOT_SUPPORTED = 0x9A
_TOO_LARGE = 0x95
_PROTOCOL_ERROR, _KEEPALIVE_TIMEOUT = 0x82, 0x8D
_UNSPECIFIED = 0x80
FLOODED = (
    f"the broker sends what carries nothing (empty frames, pings, answers to no question) more than {MOST_EMPTY} times at "
    f"once and {EMPTY_PER_S} times a second: it is faulty or hostile"
)
_NEVER = frozenset({0x87, 0x90, 0x95, 0x99, 0x9B})
_NO_LIST = (
    "there is no revocation list of the authority in mqtt.tls.crl: add those of all authorities in the chain (crl_check: "
    "leaf wants only that of the broker's certificate)"
)
_HOSTNAME_MISMATCH, _IP_MISMATCH = 62, 64
_CERTIFICATES = {
    9: "the broker's certificate is not valid yet: check this machine's clock",
    10: "the broker's certificate has expired: renew it, or check this machine's clock",
    3: _NO_LIST,
    8: _NO_LIST,  # not signed by that authority
    11: "the revocation list in mqtt.tls.crl is not valid yet: check this machine's clock",
    12: "the revocation list in mqtt.tls.crl has expired: put the present one in its place",
    23: "its authority has revoked the broker's certificate: give the broker a new one",
}  # X509_V_ERR_*, openssl/x509_vfy.h


def spell(code: int, name: str) -> str:
    """Return a broker's reason code as a sentence part: its name in the standard, then what to do."""
    return f"{_words(name)}: {_ADVICE[code]}" if code in _ADVICE else _words(name)


def not_accepted(code: int, name: str, whither: str) -> NotConnected:
    """Return the error for a CONNACK that refuses (MQTT 5.0, 3.2.2.2). whither: what `referral` says."""
    return NotConnected(
        f"the broker refuses: {spell(code, name)}{whither}", security="login_refused" if code in _LOGIN else None
    )


def disconnected(code: int, socket_error: str) -> str:
    """Return why a connection ended without a DISCONNECT of the broker. code: paho's; socket_error: "" for none."""
    if code == _KEEPALIVE_TIMEOUT:
        return "no sign of life from the broker within the keep alive"
    if code == _PROTOCOL_ERROR:
        return "what came is not MQTT as paho knows it"
    return "closed" if code < _UNSPECIFIED else socket_error or "the broker closed the connection"


def before_it_accepted(*, with_tls: bool) -> str:
    """Return what is to be checked where a connection ended without CONNACK, as the end of a sentence."""
    doubt = ", and does it want a client certificate (mqtt.tls.cert)?" if with_tls else "?"
    return f" before it accepted: does it speak this MQTT version (mqtt.version){doubt}"


def referral(server: str) -> str:
    """Return where the broker sends us (MQTT 5.0, 4.13), as the end of a sentence; empty for nowhere.

    It is reported and not followed: it could lead the password to anywhere.
    """
    return f"; it refers to {server!r}, to be set in mqtt.url" if server else ""


def words_of(properties: object) -> str:
    """Return what the broker itself says in the properties of a packet, and where it refers to, as the end of a sentence."""
    said = clean(getattr(properties, "ReasonString", ""), LONGEST_TEXT)
    return (f" ({said})" if said else "") + referral(getattr(properties, "ServerReference", ""))


def refusal(code: int, name: str, topic: str) -> GatewayError:
    """Return the error for a PUBACK with a reason code of 0x80 or more (MQTT 5.0, 3.4.2.1).

    Not authorised, topic name invalid, packet too large, payload format invalid, and QoS not supported are Permanent; all
    others are Retryable, known or not, because nothing is lost by trying again. One that was not to be retained at this
    broker goes without that the next time.
    """
    text = f"the broker refused a message on {topic}: {_words(name)} (0x{code:02x})"
    if code == _TOO_LARGE:
        return PacketTooLarge(text)
    return Permanent(text) if code in _NEVER else Retryable(text)


def unreachable(error: Exception, host: str, port: int, timeout_s: float, server_name: str = "") -> NotConnected:
    """Return the error for a connection that could not be made: name, TCP or TLS.

    server_name: what the certificate should have been for, where that is not the host.
    """
    place = f"{host}:{port}"
    match error:
        case ssl.SSLCertVerificationError():
            return NotConnected(f"{place}: {_certificate(error, server_name or host)}", security="certificate_refused")
        case ssl.SSLError():
            text = f"{place}: TLS failed ({_cause(error)}): is this the broker's TLS port?"
        case socket.gaierror() | UnicodeError():
            text = f"host name {host!r} cannot be resolved: check mqtt.url and the DNS server"
        case ConnectionRefusedError():
            text = f"{place} refuses the connection: is the broker running, and is the port right?"
        case ConnectionResetError():
            text = f"{place} hung up at once: is the port right, and does it want TLS?"
        case TimeoutError():
            text = f"{place} does not answer within {timeout_s:g} s: wrong address, firewall, or network down?"
        case OSError(strerror=str(reason)):
            text = f"{place}: {reason}"
        case _:  # whose words are those of a program
            text = f"{place}: the connection cannot be made: check mqtt.url and mqtt.tls.server_name"
    return NotConnected(text)


def _words(name: str) -> str:
    return name[:1].lower() + name[1:].replace("authorized", "authorised")


def _certificate(error: ssl.SSLCertVerificationError, name: str) -> str:
    what = error.verify_message.rstrip(".")
    if error.verify_code in {_HOSTNAME_MISMATCH, _IP_MISMATCH}:
        return (
            f"the broker's certificate is not for {name!r}: use the name in the certificate in mqtt.url, or set "
            f"mqtt.tls.server_name to it ({what})"
        )
    if error.verify_code in _CERTIFICATES:
        return _CERTIFICATES[error.verify_code]
    return f"the broker's certificate is not trusted: set mqtt.tls.ca to its CA's PEM file ({what})"


def _cause(error: ssl.SSLError) -> str:
    return getattr(error, "reason", None) or "no reason given"  # OpenSSL's own errors have a reason, Python's have none
