"""What a user without the embedded broker is told."""

import pytest

from gateway.demo import broker


def test_a_missing_extra_names_the_command_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setattr(broker, "find_spec", lambda name: None)
    with pytest.raises(broker.BrokerMissing, match=r"-m pip install 'industrial-data-gateway\[demo\]'"):
        broker.EmbeddedBroker(1883, tmp_path)
