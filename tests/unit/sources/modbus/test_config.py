"""What users may and may not write about Modbus."""

import pytest
from pydantic import ValidationError

from gateway.sources.modbus.config import ModbusDevice, ModbusTag


def tag(**keys: object) -> ModbusTag:
    return ModbusTag.model_validate({"name": "t", "address": "holding:0"} | keys)


def device(**keys: object) -> ModbusDevice:
    return ModbusDevice.model_validate({"name": "d", "url": "tcp://plc"} | keys)


def only_problem(model: type[ModbusTag] | type[ModbusDevice], keys: dict[str, object]) -> tuple[str, str]:
    """Key and message of the one problem."""
    base = {"name": "n", "address": "holding:0"} if model is ModbusTag else {"name": "n", "url": "tcp://plc"}
    with pytest.raises(ValidationError) as caught:
        model.model_validate(base | keys)
    (problem,) = caught.value.errors()
    return ".".join(map(str, problem["loc"])), problem["msg"]


def test_a_csv_row_of_strings_is_a_tag() -> None:
    cells = {
        "address": "input:7",
        "type": "int32",
        "byte_order": "CDAB",
        "scale": "0.1",
        "offset": "-40",
        "interval": "100ms",
    }
    row = tag(**cells)
    assert (row.table, row.start, row.width, row.value_type) == ("input", 7, 2, "int32")
    assert (row.scale, row.offset, row.interval, row.byte_order) == (0.1, -40.0, 100_000_000, "CDAB")


@pytest.mark.parametrize(
    ("address", "kind"), [("holding:1", "uint16"), ("input:1", "uint16"), ("coil:1", "bool"), ("discrete:1", "bool")]
)
def test_the_table_decides_the_type_that_is_left_out(address: str, kind: str) -> None:
    assert tag(address=address).value_type == kind


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [("tcp://plc", "plc", 502), ("tcp://10.0.0.7:1502/", "10.0.0.7", 1502), ("tcp://[::1]:503", "::1", 503)],
)
def test_urls(url: str, host: str, port: int) -> None:
    found = device(url=url)
    assert (found.host, found.port) == (host, port)


def test_urls_that_mean_the_same_are_the_same() -> None:
    assert device(url="tcp://PLC").url == device(url="TCP://plc:502/").url == "tcp://plc:502"


def test_defaults() -> None:
    plain = device()
    assert (plain.unit, plain.interval, plain.timeout, plain.byte_order) == (1, 10**9, 10**9, "ABCD")
    assert (plain.max_registers, plain.max_bits, plain.max_gap) == (125, 2000, 16)


@pytest.mark.parametrize(
    ("keys", "key", "words"),
    [
        ({"address": "40101"}, "address", "expected table:address"),
        ({"address": 100}, "address", "expected table:address"),
        ({"address": "holding:65536"}, "address", "0 to 65535"),
        ({"address": "coil:3", "type": "int16"}, "type", "expected bool"),
        ({"address": "holding:65535", "type": "float32"}, "type", "up to 65534"),
        ({"type": "float16"}, "type", "'float32' or 'float64'"),
        ({"byte_order": "BDAC"}, "byte_order", "'CDAB'"),
        ({"scale": "0"}, "scale", "other than 0"),
        ({"scale": "0,1"}, "scale", "valid number"),
        ({"offset": "nan"}, "offset", "finite"),
        ({"interval": "100"}, "interval", "250ms, 1s"),
        ({"adress": "holding:1"}, "adress", "not permitted"),
    ],
)
def test_a_bad_tag_is_refused_at_its_key_with_what_was_expected(keys: dict[str, object], key: str, words: str) -> None:
    where, message = only_problem(ModbusTag, keys)
    assert where == key
    assert words in message


@pytest.mark.parametrize(
    ("keys", "key", "words"),
    [
        ({"url": "rtu:///dev/ttyUSB0"}, "url", "rtu:// is not supported; expected tcp://host"),
        ({"url": "plc:502"}, "url", "expected tcp://host"),
        ({"url": "tcp://"}, "url", "expected tcp://host"),
        ({"url": "tcp://plc:0"}, "url", "expected tcp://host"),
        ({"url": "tcp://plc:70000"}, "url", "expected tcp://host"),
        ({"url": "tcp://a..b"}, "url", "expected tcp://host"),
        ({"url": "tcp://user@plc/x?y=1"}, "url", "expected tcp://host"),
        ({"url": 7}, "url", "expected tcp://host"),
        ({"unit": 250}, "unit", "0 to 247 or 255"),
        ({"unit": 256}, "unit", "255"),
        ({"max_registers": 126}, "max_registers", "125"),
        ({"max_bits": 2001}, "max_bits", "2000"),
        ({"timeout": "0s"}, "timeout", "10ms to 1h"),
        ({"byte_order": "little"}, "byte_order", "'CDAB'"),
    ],
)
def test_a_bad_device_is_refused_at_its_key_with_what_was_expected(keys: dict[str, object], key: str, words: str) -> None:
    where, message = only_problem(ModbusDevice, keys)
    assert where == key
    assert words in message


def test_every_key_has_a_description() -> None:
    for model in (ModbusDevice, ModbusTag):
        assert not [name for name, field in model.model_json_schema()["properties"].items() if not field.get("description")]
