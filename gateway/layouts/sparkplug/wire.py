"""Sparkplug B payloads as bytes: the field tables of the specification (3.0.0, 6.4), and protobuf's own encoding of them.

The messages are built at run time from these tables. What the gateway never sends (metadata, parameters of templates) is
left out: protobuf skips unknown fields when it reads.
"""

from enum import IntEnum
from itertools import islice
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

_Field = descriptor_pb2.FieldDescriptorProto
_PACKAGE: Final = "sparkplug"

_TYPES: Final = {
    "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64,
    "float": _Field.TYPE_FLOAT,
    "double": _Field.TYPE_DOUBLE,
    "bool": _Field.TYPE_BOOL,
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
}

_TABLES: Final[dict[str, tuple[tuple[int, str, str], ...]]] = {
    "PropertyValue": (
        (1, "type", "uint32"),
        (2, "is_null", "bool"),
        (3, "int_value", "uint32"),
        (4, "long_value", "uint64"),
        (5, "float_value", "float"),
        (6, "double_value", "double"),
        (7, "boolean_value", "bool"),
        (8, "string_value", "string"),
    ),
    "PropertySet": (
        (1, "keys", "string*"),
        (2, "values", "PropertyValue*"),
    ),
    "Metric": (
        (1, "name", "string"),
        (2, "alias", "uint64"),
        (3, "timestamp", "uint64"),
        (4, "datatype", "uint32"),
        (5, "is_historical", "bool"),
        (6, "is_transient", "bool"),
        (7, "is_null", "bool"),
        (9, "properties", "PropertySet"),
        (10, "int_value", "uint32"),
        (11, "long_value", "uint64"),
        (12, "float_value", "float"),
        (13, "double_value", "double"),
        (14, "boolean_value", "bool"),
        (15, "string_value", "string"),
        (16, "bytes_value", "bytes"),
        (17, "dataset_value", "DataSet"),
        (18, "template_value", "Template"),
    ),
    "DataSetValue": (
        (1, "int_value", "uint32"),
        (2, "long_value", "uint64"),
        (3, "float_value", "float"),
        (4, "double_value", "double"),
        (5, "boolean_value", "bool"),
        (6, "string_value", "string"),
    ),
    "Row": ((1, "elements", "DataSetValue*"),),
    "DataSet": (
        (1, "num_of_columns", "uint64"),
        (2, "columns", "string*"),
        (3, "types", "uint32*"),
        (4, "rows", "Row*"),
    ),
    "Template": (
        (1, "version", "string"),
        (2, "metrics", "Metric*"),
        (4, "template_ref", "string"),
        (5, "is_definition", "bool"),
    ),
    "Payload": (
        (1, "timestamp", "uint64"),
        (2, "metrics", "Metric*"),
        (3, "seq", "uint64"),
        (4, "uuid", "string"),
        (5, "body", "bytes"),
    ),
}
"""Number, name and type of each field; a star means that it may stand many times."""

_LARGEST_COMMAND_BYTES: Final = 65_536
_MOST_COMMANDS: Final = 100
_METRIC_TAG: Final = b"\x12"  # field 2, with a length; other bytes of a payload may look the same
_MOST_METRICS: Final = 300_000
_ROW_TAG: Final = b"\x22"  # field 4, with a length: a row of a data set
_CELL_TAG: Final = b"\x0a"  # field 1, with a length: an element of a row
_MOST_CELLS: Final = 1_000_000
_SEQ_TAG: Final = 3 << 3  # field 3, a variable-length integer (protobuf encoding)
_VALUES: Final = ("int_value", "long_value", "float_value", "double_value", "boolean_value", "string_value")
_NO_FIELDS: Final = (*_VALUES, "properties", "dataset_value", "template_value")
_WRAP: Final = 1 << 64


class DataType(IntEnum):
    """Types of values that the gateway uses (6.4.16), with the specification's numbers."""

    INT32 = 3
    INT64 = 4
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATASET = 16
    TEMPLATE = 19


_VALUE_FIELD: Final = {
    DataType.INT32: "int_value",
    DataType.INT64: "long_value",
    DataType.UINT64: "long_value",
    DataType.FLOAT: "float_value",
    DataType.DOUBLE: "double_value",
    DataType.BOOLEAN: "boolean_value",
    DataType.STRING: "string_value",
}
_SIGNED: Final = {3: 32, 4: 64, 1: 32, 2: 32}
"""Datatypes whose integers are in two's complement, and in how many bits they travel: int8, int16 and int32 in 32."""


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="sparkplug.proto", package=_PACKAGE, syntax="proto2")
    for name, table in _TABLES.items():
        message = file.message_type.add(name=name)
        for number, field, kind in table:
            label = _Field.LABEL_REPEATED if kind.endswith("*") else _Field.LABEL_OPTIONAL
            one = kind.removesuffix("*")
            if one in _TYPES:
                message.field.add(name=field, number=number, label=label, type=_TYPES[one])
            else:
                target = f".{_PACKAGE}.{one}"
                message.field.add(name=field, number=number, label=label, type=_Field.TYPE_MESSAGE, type_name=target)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _TABLES}


_CLASSES: Final = _classes()
new_payload: Final[Any] = _CLASSES["Payload"]
"""An empty payload; its fields are those of the table."""


def set_value(target: Any, kind: DataType, value: Any) -> None:
    """Put a value of a type into a metric or property; None is null."""
    if value is None:
        target.is_null = True
    else:
        number = value % _WRAP if kind in (DataType.INT64, DataType.UINT64) else value
        setattr(target, _VALUE_FIELD[kind], number)


def set_property(metric: Any, key: str, kind: DataType, value: Any) -> None:
    """Add a property to a metric."""
    metric.properties.keys.append(key)
    entry = metric.properties.values.add(type=kind)
    set_value(entry, kind, value)


def numbered(payload: bytes, seq: int) -> bytes:
    """Return a written payload with its sequence number: protobuf lets fields stand in any order."""
    if seq < 0x80:
        return payload + bytes((_SEQ_TAG, seq))
    return payload + bytes((_SEQ_TAG, seq & 0x7F | 0x80, seq >> 7))


def read_payload(payload: bytes) -> dict[str, Any]:
    """Return a payload as plain values.

    The fields that are there, metrics as a list, `value` and `properties` among their fields.

    Raises ValueError.
    """
    if (count := payload.count(_METRIC_TAG)) > _MOST_METRICS:
        raise ValueError(f"not a Sparkplug payload: as many as {count} metrics; expected {_MOST_METRICS} at most")
    if (count := max(payload.count(_ROW_TAG), payload.count(_CELL_TAG))) > _MOST_CELLS:
        raise ValueError(f"not a Sparkplug payload: as many as {count} rows or cells; expected {_MOST_CELLS} at most")
    message = new_payload()
    try:
        message.ParseFromString(payload)
        read = {field.name: value for field, value in message.ListFields() if field.name != "metrics"}
        return read | {"metrics": [_metric(metric) for metric in message.metrics]}
    except (DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(f"not a Sparkplug payload: {error}") from None


def is_commanded(payload: bytes, name: str) -> bool:
    """Return whether a payload has a boolean metric `name` that is true, among its first hundred metrics.

    Raises ValueError where it is no payload, or larger than 64 KiB: of 2 bytes for each metric it can have 32,768.
    """
    if len(payload) > _LARGEST_COMMAND_BYTES:
        raise ValueError(f"a command of {len(payload)} bytes; expected {_LARGEST_COMMAND_BYTES} at most")
    message = new_payload()
    try:
        message.ParseFromString(payload)
    except (DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(f"not a Sparkplug payload: {error}") from None
    return any(metric.name == name and metric.boolean_value for metric in islice(message.metrics, _MOST_COMMANDS))


def _metric(metric: Any) -> dict[str, Any]:
    read = {f.name: value for f, value in metric.ListFields() if f.name not in _NO_FIELDS}
    read["value"] = _value(metric, metric.datatype) if metric.is_null else _structured(metric)
    if metric.HasField("properties"):
        pairs = zip(metric.properties.keys, metric.properties.values, strict=False)
        read["properties"] = {_text(key): _value(entry, entry.type) for key, entry in pairs}
    if "name" in read:
        read["name"] = _text(read["name"])
    return read


def _structured(metric: Any) -> Any:
    """Return a data set as a list of rows, a template as its members by name, anything else as it is."""
    if metric.HasField("dataset_value"):
        table = metric.dataset_value
        columns = list(zip(map(_text, table.columns), table.types, strict=False))
        return [
            {name: _scalar(cell, kind) for (name, kind), cell in zip(columns, row.elements, strict=False)}
            for row in table.rows
        ]
    if metric.HasField("template_value"):
        members = map(_metric, metric.template_value.metrics)
        return {member.get("name", ""): member["value"] for member in members}
    return _value(metric, metric.datatype)


def _value(source: Any, kind: int) -> Any:
    return None if source.is_null else _scalar(source, kind)


def _scalar(source: Any, kind: int) -> Any:
    for name in _VALUES:
        if source.HasField(name):
            value = getattr(source, name)
            bits = _SIGNED.get(kind)
            if name == "string_value":
                return _text(value)
            return value - (1 << bits) if bits and value >= 1 << (bits - 1) else value
    return None


def _text(text: str | bytes) -> str:
    """Protobuf gives bytes where a string is none."""
    if isinstance(text, bytes):
        raise ValueError("not a Sparkplug payload: a string that is not UTF-8")
    return text
