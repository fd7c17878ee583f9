"""The verdict on an OCSP answer."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.sinks.mqtt.ocsp import MOST_BYTES, objection
from tests.support.mosquitto import Authority


def now() -> datetime:
    """Not the time of import: a whole run of the tests takes longer than clocks may differ."""
    return datetime.now(UTC)


@pytest.fixture
def authority(tmp_path) -> Authority:
    authority = Authority(tmp_path)
    authority.issue("broker")
    authority.issue("another")
    return authority


def test_a_current_answer_of_the_authority_proves_that_it_is_good(authority):
    answer = authority.ocsp("broker")
    assert objection(answer, authority.issued["broker"], [authority.own], now()) == ""
    assert "has expired" in objection(answer, authority.issued["broker"], [authority.own], now() + timedelta(days=2))


def test_an_answer_about_another_certificate_proves_nothing(authority):
    text = objection(authority.ocsp("another"), authority.issued["broker"], [authority.own], now())
    assert text == "its OCSP answer is about another certificate"


def test_without_the_authoritys_certificate_nobody_can_judge(authority, tmp_path):
    other = Authority(tmp_path, "other")
    text = objection(authority.ocsp("broker"), authority.issued["broker"], [other.own], now())
    assert "neither shown by the broker nor in mqtt.tls.ca" in text


def test_a_responder_whose_certificate_has_expired_may_not_sign(authority):
    answer = authority.ocsp("broker", responder=True, made=now() + timedelta(days=2))
    text = objection(answer, authority.issued["broker"], [authority.own], now() + timedelta(days=2, hours=1))
    assert text == "its OCSP answer is not signed by its authority"


def test_an_answer_has_a_ceiling_and_nothing_in_it_is_more_than_unreadable(authority):
    good, leaf = authority.ocsp("broker"), authority.issued["broker"]
    assert "longer than" in objection(good + bytes(MOST_BYTES), leaf, [authority.own], now())
    for place in range(len(good)):
        changed = good[:place] + bytes([good[place] ^ 0x5A]) + good[place + 1 :]
        assert objection(changed, leaf, [authority.own], now()), f"byte {place} may be changed unseen"
