"""What the operating system says, without a word of Python."""

import errno
import socket
import ssl

import pytest

from gateway.core.os_errors import os_reason


def tls_error(reason: str | None) -> ssl.SSLError:
    """As Python raises it for OpenSSL's error number 1, which is another one of the system's."""
    error = ssl.SSLError(1, f"[SSL: {reason}] something (_ssl.c:1006)")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.EHOSTUNREACH, "Connect call failed ('10.0.0.1', 502)"), "No route to host"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "Permission denied"),
        (socket.gaierror(-2, "Name or service not known"), "the host name cannot be resolved"),
        (
            OSError(
                "Multiple exceptions: [Errno 111] Connect call failed ('::1', 502, 0, 0), "
                "[Errno 113] Connect call failed ('127.0.0.1', 502)"
            ),
            "Connection refused, No route to host",
        ),
        (ConnectionResetError(), "the connection broke"),
        (tls_error("WRONG_VERSION_NUMBER"), "TLS failed: wrong version number"),
        (tls_error(None), "TLS failed"),
        (ConnectionError("the server's message is too long"), "the server's message is too long"),
    ],
)
def test_a_reason_is_in_the_systems_words(error, reason):
    assert os_reason(error) == reason
