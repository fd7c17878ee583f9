"""Durations, sizes and names as people write them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.core.config_types import (
    ConfigModel,
    DeviceModel,
    FolderPath,
    OwnFile,
    TagModel,
    check_name,
    parse_duration_ns,
    parse_size_bytes,
)

SECOND = 1_000_000_000
DURATIONS = {
    "10us": 10_000, "250ms": SECOND // 4, "1s": SECOND, "1.5h": 5400 * SECOND, "2m": 120 * SECOND, "2min": 120 * SECOND,
    "7d": 604_800 * SECOND, "0s": 0, " 3 s ": 3 * SECOND,
}  # fmt: skip
SIZES = {"1B": 1, "64KiB": 65536, "1kB": 1000, "512MiB": 512 * 2**20, "1.5GB": 1_500_000_000, "1TiB": 2**40}


@pytest.mark.parametrize("text", DURATIONS)
def test_a_duration_is_a_number_with_a_unit(text: str) -> None:
    """Down to microseconds, up to days, with decimals."""
    assert parse_duration_ns(text) == DURATIONS[text]


@pytest.mark.parametrize("text", SIZES)
def test_a_size_is_a_number_with_a_unit(text: str) -> None:
    """Binary and decimal units are different things."""
    assert parse_size_bytes(text) == SIZES[text]


@pytest.mark.parametrize(
    "text", ["", "5", "s", "-1s", "1,5s", "1 parsec", "1S", "1e3s", "101y", "40000d", 5, 5.0, None, True, []]
)
def test_anything_else_is_refused_with_what_was_expected(text: object) -> None:
    """A bare number has no meaning; nor has a hundred years."""
    with pytest.raises(ValueError, match="expected a number with a unit such as"):
        parse_duration_ns(text)
    with pytest.raises(ValueError, match="expected a number with a unit such as"):
        parse_size_bytes(text)


@pytest.mark.parametrize("name", ["a", "Öltemperatur 1", "a.b-c_d", "a\\b", 'x"y', "日本", "x" * 128, "a$b"])
def test_what_a_topic_level_may_hold_is_a_name(name: str) -> None:
    """Any printable text without MQTT's own characters."""
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", " ", "a/b", "+", "a#", "$SYS", " a", "a ", "a\nb", "\0", "x" * 129, "é" * 65, None, 5, True]
)
def test_what_mqtt_keeps_for_itself_is_no_name(name: object) -> None:
    """Separators, wildcards, control characters, $, nothing at all, and what YAML took for something else."""
    with pytest.raises(ValueError, match=r"."):
        check_name(name)


@given(st.text())
def test_a_name_is_always_one_level_of_a_topic(text: str) -> None:
    """Whatever passes can be published to and subscribed to literally."""
    try:
        name = check_name(text)
    except ValueError:
        return
    assert 0 < len(name.encode()) <= 128
    assert not set(name) & set("/+#\0")


def test_where_we_may_not_look_a_file_may_be() -> None:
    """People run `check`, and the gateway has a user of its own. A name too long stands for a folder out of sight."""

    class Model(ConfigModel):
        file: OwnFile
        folder: FolderPath

    out_of_sight = Path("/" + "x" * 300)
    assert Model(file=out_of_sight, folder=out_of_sight).file == out_of_sight
    for wrong in ({"file": "/"}, {"folder": "/dev/null"}, {"folder": "a\0"}, {"file": "a\0"}):
        with pytest.raises(ValidationError, match=r"expected a|NUL"):
            Model.model_validate({"file": "f", "folder": "d"} | wrong)


def test_models_refuse_unknown_keys_and_do_not_change() -> None:
    """A key with a typing error is not silently ignored."""
    with pytest.raises(ValidationError, match="extra"):
        TagModel(name="a", units="bar")  # type: ignore[call-arg]
    device = DeviceModel(name="a")
    with pytest.raises(ValidationError, match="frozen"):
        device.enabled = False  # type: ignore[misc]
