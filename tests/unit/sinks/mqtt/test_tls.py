"""What is asked of a broker before any byte of MQTT."""

import ssl

from gateway.sinks.mqtt.config import MqttTls
from gateway.sinks.mqtt.tls import tls_context


def test_nothing_older_than_tls_1_2_and_certificate_and_name_are_checked() -> None:
    """Whatever the machine's OpenSSL would allow."""
    context = tls_context(MqttTls())
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.maximum_version is ssl.TLSVersion.MAXIMUM_SUPPORTED
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_insecure_checks_no_certificate_and_is_no_older() -> None:
    context = tls_context(MqttTls(insecure=True))
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_broker_cannot_ask_for_handshakes_in_a_session() -> None:
    """Each would be made on the event loop (TLS 1.2; 1.3 has none)."""
    assert tls_context(MqttTls()).options & ssl.OP_NO_RENEGOTIATION
