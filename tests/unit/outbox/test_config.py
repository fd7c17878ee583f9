import pytest
from pydantic import ValidationError

from gateway.outbox.config import OutboxConfig


def test_defaults_are_as_documented():
    config = OutboxConfig()
    assert config.commit_interval == 10**9
    assert config.max_bytes == 2**30
    assert config.max_age == 7 * 86_400 * 10**9
    assert (config.memory, config.keep_free) == (32 * 2**20, 256 * 2**20)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("commit_interval", "5ms", "10ms"),
        ("commit_interval", "2min", "10ms to 60s"),
        ("max_bytes", "1MiB", "16MiB to 1TiB"),
        ("max_age", "1s", "1min to"),
        ("memory", "64KiB", "1MiB"),
        ("memory", 1000, "a number with a unit"),
    ],
)
def test_values_out_of_range_say_what_was_expected(key, value, expected):
    with pytest.raises(ValidationError, match=expected):
        OutboxConfig.model_validate({key: value})
