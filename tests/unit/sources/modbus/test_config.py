"""What users may and may not write about Modbus."""

import pytest
from pydantic import ValidationError

from gateway.sources.modbus.config import ModbusDevice
from gateway.sources.modbus.endpoint import parse
from gateway.sources.modbus.tag import ModbusTag


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
        ({"address": "50101"}, "address", "such as 40101"),
        ({"address": "40000"}, "address", "such as 40101"),
        ({"address": "470000"}, "address", "such as 40101"),
        ({"address": "4 0101"}, "address", "expected table:address"),
        ({"address": 10}, "address", "in quotes"),
        ({"address": 100}, "address", "expected table:address"),
        ({"address": True}, "address", "expected table:address"),
        ({"address": "holding:65536"}, "address", "0 to 65535"),
        ({"address": "coil:3", "type": "int16"}, "type", "expected bool"),
        ({"address": "holding:65535", "type": "float32"}, "type", "up to 65534"),
        ({"type": "float8"}, "type", "'float16', 'float32', 'float64'"),
        ({"address": "coil:3", "type": "string", "length": 2}, "type", "expected bool"),
        ({"address": "coil:3", "bit": 2}, "bit", "one bit already"),
        ({"bit": 16}, "bit", "15"),
        ({"bit": 3, "type": "uint16"}, "bit", "expected type bool"),
        ({"byte": "high"}, "byte", "expected type int8 or uint8"),
        ({"type": "uint32", "bit": 32}, "bit", "to 31"),
        ({"flags": {16: "a"}}, "flags", "0 to 15"),
        ({"flags": {0: "a"}, "type": "int16"}, "flags", "expected type uint8"),
        ({"flags": {0: "a"}, "labels": {0: "b"}}, "flags", "none of them beside flags"),
        ({"labels": {1: "a"}, "labels_shifted": False}, "labels_shifted", "expected a mask"),
        ({"labels": {1: "a"}, "labels_shifted": False, "mask": 2}, "labels_shifted", "outside the mask 0x2"),
        ({"type": "hhmm", "scale": 2}, "scale", "has no scale"),
        ({"type": "epoch", "not_available": 0}, "not_available", "no value to spare"),
        ({"address": "holding:65535", "type": "epoch"}, "type", "up to 65534"),
        ({"address": "holding:65530", "type": "string", "byte": "low", "length": 8}, "length", "up to 65528"),
        ({"mask": "0xF0", "type": "int16"}, "mask", "expected an unsigned integer type"),
        ({"mask": "0x1FFFF"}, "mask", "expected 0x1 to 0xffff"),
        ({"mask": 0}, "mask", "expected 0x1 to 0xffff"),
        ({"mask": "F0"}, "mask", "240 or 0xF0"),
        ({"mask": 1, "bit": 1}, "mask", "one bit needs no mask"),
        ({"type": "string"}, "length", "is missing for a string"),
        ({"type": "uint32", "length": 4}, "length", "expected type string or bytes"),
        ({"address": "holding:65535", "type": "string", "length": 3}, "length", "up to 65534"),
        ({"type": "bytes", "length": 4, "scale": 2}, "scale", "has no scale"),
        ({"not_available": "0x18000"}, "not_available", "up to 0xffff"),
        ({"not_available": "none"}, "not_available", "is no uint16"),
        ({"not_available": [1.5]}, "not_available", "is no uint16"),
        ({"bit": 1, "not_available": 1}, "not_available", "no value to spare"),
        ({"labels": "0:off"}, "labels", "0=off | 1=on"),
        ({"labels": {"a": "b"}}, "labels", "a value with a label"),
        ({"labels": {0: True}}, "labels", "in quotes"),
        ({"labels": {0: "a", "0x0": "b"}}, "labels", "two labels"),
        ({"labels": {}}, "labels", "1 to 1000"),
        ({"labels": {0: "a"}, "type": "float32"}, "labels", "expected an integer type"),
        ({"labels": {0: "a"}, "scale": 2}, "labels", "no scale"),
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
        ({"url": "opc.tcp://plc"}, "url", "opc.tcp:// is not supported; expected tcp://host"),
        ({"url": "rtu:///dev/ttyUSB0?parity=X"}, "url", "expected parity= one of N, E, O"),
        ({"url": "rtu:///dev/ttyUSB0?baudrate=9601"}, "url", "one of 300, 600"),
        ({"url": "rtu:///dev/ttyUSB0?bytesize=7"}, "url", "one of 8"),
        ({"url": "rtu:///dev/ttyUSB0?speed=9600"}, "url", "speed is not an option of rtu://"),
        ({"url": "rtu:///dev/ttyUSB0?parity=E&parity=N"}, "url", "stands twice"),
        ({"url": "rtu://dev/ttyUSB0"}, "url", "three slashes"),
        ({"url": "rtu:///"}, "url", "three slashes"),
        ({"url": "rtu+tcp://moxa:4001?turnaround=5"}, "url", "turnaround"),
        ({"url": "rtu+tcp://moxa:4001?unit_pause=11s"}, "url", "up to 10s"),
        ({"url": "tls://plc?cert=a.pem"}, "url", "cert and key go together"),
        ({"url": "udp://plc?echo=1"}, "url", "expected one of turnaround"),
        ({"url": "tcp://plc?connect_pause=1m"}, "url", "up to 10s"),
        ({"url": "tcp://plc?turnaround=5ms", "max_in_flight": 2}, "max_in_flight", "cannot both be"),
        ({"url": "tcp://plc", "backup": "udp://plc2"}, "backup", "expected tcp://"),
        ({"url": "tcp://plc", "backup": "tcp://plc:502?turnaround=5ms"}, "backup", "expected another address"),
        ({"url": "tcp://plc?ca=a.pem"}, "url", "expected one of turnaround"),
        ({"url": "rtu:///dev/ttyUSB0", "unit": 0}, "unit", "broadcast"),
        ({"url": "rtu+tcp://moxa", "unit": 255}, "unit", "expected 1 to 247"),
        ({"url": "udp://plc", "max_in_flight": 2}, "max_in_flight", "tcp:// or tls://"),
        ({"forbidden": ["holding:9-3"]}, "forbidden.0", "holding:100-120"),
        ({"forbidden": ["7"]}, "forbidden.0", "holding:100-120"),
        ({"addressing": "modicon"}, "addressing", "'classic'"),
        ({"url": "plc:502"}, "url", "expected tcp://host"),
        ({"url": "tcp://"}, "url", "expected tcp://host"),
        ({"url": "tcp://plc:0"}, "url", "expected tcp://host"),
        ({"url": "tcp://plc:70000"}, "url", "expected tcp://host"),
        ({"url": "tcp://a..b"}, "url", "expected tcp://host"),
        ({"url": "tcp://user@plc/x"}, "url", "expected tcp://host"),
        ({"url": 7}, "url", "expected tcp://host"),
        ({"unit": 250}, "unit", "0 to 247 or 255"),
        ({"unit": 256}, "unit", "255"),
        ({"max_registers": 126}, "max_registers", "125"),
        ({"max_bits": 2001}, "max_bits", "2000"),
        ({"timeout": "0s"}, "timeout", "10ms to 1h"),
        ({"byte_order": "little"}, "byte_order", "'CDAB'"),
        ({"requests": ["holding:0-125"]}, "requests", "expected up to 125 places"),
        ({"requests": ["coil:0-40"], "max_bits": 16}, "requests", "expected up to 16 places"),
        ({"wide_registers": ["coil:0-7"]}, "wide_registers", "a range of holding or input"),
        ({"ignore_transaction_id": True, "url": "rtu+tcp://moxa"}, "ignore_transaction_id", "no transaction ids"),
        ({"ignore_transaction_id": True, "max_in_flight": 2}, "ignore_transaction_id", "expected max_in_flight: 1"),
    ],
)
def test_a_bad_device_is_refused_at_its_key_with_what_was_expected(keys: dict[str, object], key: str, words: str) -> None:
    where, message = only_problem(ModbusDevice, keys)
    assert where == key
    assert words in message


def test_every_key_has_a_description() -> None:
    for model in (ModbusDevice, ModbusTag):
        assert not [name for name, field in model.model_json_schema()["properties"].items() if not field.get("description")]


@pytest.mark.parametrize(
    ("written", "table", "start"),
    [
        ("40101", "holding", 100), (40101, "holding", 100), ("400101", "holding", 100), ("465536", "holding", 65535),
        ("30001", "input", 0), ("10008", "discrete", 7), ("00001", "coil", 0), (" 000017 ", "coil", 16),
        ("holding:100", "holding", 100),
    ],
)  # fmt: skip
def test_classic_numbers(written: object, table: str, start: int) -> None:
    found = tag(address=written)
    assert (found.table, found.start) == (table, start)


def test_a_bit_is_a_bool_and_masks_and_labels_may_be_cells() -> None:
    assert tag(bit="3").value_type == "bool"
    row = tag(mask="0x00F0", labels="0 = off | 1=on", not_available="0x8000 | 0xFFFF", byte_order="GHEFCDAB")
    assert (row.mask, row.labels, row.not_available, row.byte_order) == (
        0xF0,
        {0: "off", 1: "on"},
        ("0x8000", "0xFFFF"),
        "CDAB",
    )


def test_a_serial_url_with_the_standards_defaults() -> None:
    plain = device(url="rtu:///dev/ttyUSB0").endpoint
    assert (plain.path, plain.baudrate, plain.parity, plain.stopbits, plain.bytesize) == ("/dev/ttyUSB0", 19200, "E", 1, 8)
    assert plain.turnaround_s == pytest.approx(3.5 * 11 / 19200)
    assert (plain.unit_pause_s, plain.echo, plain.is_bus) == (0.03, False, True)
    other = device(url="ascii:///dev/ttyS1?parity=n&baudrate=9600&turnaround=20ms&unit_pause=0s&echo=1").endpoint
    assert (other.parity, other.stopbits, other.bytesize) == ("N", 2, 7)
    assert (other.turnaround_s, other.unit_pause_s, other.echo) == (0.02, 0.0, True)
    assert device(url="rtu:///dev/ttyUSB0?baudrate=115200").endpoint.turnaround_s == 0.00175


def test_network_urls() -> None:
    assert device(url="tls://plc").port == 802
    assert device(url="RTU+TCP://moxa:4001").url == "rtu+tcp://moxa:4001"
    secure = device(url="tls://plc?key=k.pem&cert=c.pem").url
    assert secure == device(url="tls://PLC:802?cert=c.pem&key=k.pem").url
    assert (device(url="udp://plc").endpoint.is_bus, device(url="tcp://plc").endpoint.unit_pause_s) == (False, 0.0)


def test_the_zone_of_an_ipv6_address_is_written_as_rfc_6874_says() -> None:
    assert parse("tcp://[fe80::1%25eth0]:502").host == "fe80::1%eth0"
    assert parse(parse("tcp://[fe80::1%25eth0]:502").url).host == "fe80::1%eth0"
