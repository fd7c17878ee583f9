"""What is asked of a device before any byte of Modbus."""

import ssl

import pytest

from gateway.sources.modbus.endpoint import parse
from gateway.sources.modbus.transport import _tls


@pytest.mark.parametrize(("options", "verify"), [("", ssl.CERT_REQUIRED), ("?verify=0", ssl.CERT_NONE)])
def test_nothing_older_than_tls_1_2(options: str, verify: ssl.VerifyMode) -> None:
    """MODBUS/TCP Security v36, 5; whatever the machine's OpenSSL would allow."""
    context = _tls(parse(f"tls://plc{options}"))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert (context.verify_mode, context.check_hostname) == (verify, verify is ssl.CERT_REQUIRED)
