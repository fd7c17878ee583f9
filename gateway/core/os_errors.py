"""What the operating system says of a failed call, in its own words. Python's wording stays out of reasons. Pure."""

import os
import re
import socket
import ssl
from typing import Final

_NUMBERS: Final = re.compile(r"\[Errno (\d+)\]")


def os_reason(error: OSError, otherwise: str = "the connection broke") -> str:
    """Return `No route to host`: no numbers, no addresses, no names of Python. otherwise: where nothing better is known.

    asyncio writes "Connect call failed ('10.0.0.1', 502)" in place of the system's words, and where a name has several
    addresses, puts all their errors into one text.
    """
    if isinstance(error, socket.gaierror):
        return "the host name cannot be resolved"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not accepted: {error.verify_message.rstrip('.')}"
    if isinstance(error, ssl.SSLError):  # whose numbers are OpenSSL's
        return f"TLS failed: {error.reason.lower().replace('_', ' ')}" if error.reason else "TLS failed"
    numbers = [error.errno] if error.errno else map(int, _NUMBERS.findall(str(error)))
    reasons = dict.fromkeys(os.strerror(number) for number in numbers)
    if reasons:
        return ", ".join(reasons)
    return otherwise if error.args and not isinstance(error.args[0], str) else str(error) or otherwise
