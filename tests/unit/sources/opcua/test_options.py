"""The options of commands as configuration models."""

import pytest

from gateway.core.errors import UsageError
from gateway.sources.opcua.tools.options import device_with_login

OPTIONS = {"security": "auto", "security_mode": "Sign", "username": "", "pki": None, "check_host": True}
FINGERPRINT = "ab" * 32


def test_objections_are_accepted_on_the_command_line_as_in_a_device_file():
    device = device_with_login("opc.tcp://plc", OPTIONS | {"accept": [f"{FINGERPRINT}=expired,host"]})
    assert [(one.certificate, one.although) for one in device.accept] == [(FINGERPRINT, ("expired", "host"))]
    assert device_with_login("opc.tcp://plc", OPTIONS | {"accept": []}).accept == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [("12", "expected FINGERPRINT=OBJECTION"), ("12=host", "all 64 hex digits"), (f"{FINGERPRINT}=revoked", "'expired', ")],
)
def test_what_is_no_acceptance_is_a_wrong_use_of_the_option(text, words):
    with pytest.raises(UsageError, match=words) as raised:
        device_with_login("opc.tcp://plc", OPTIONS | {"accept": [text]})
    assert str(raised.value).startswith("--accept: ")
