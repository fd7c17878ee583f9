"""What a server answers when it is asked for the past."""

from dataclasses import dataclass

from gateway.sources.opcua.codec.columns import ValueColumns


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Part of one node's history: values in time order (their row means nothing), and the continuation point behind which
    there is more, empty where there is not."""

    status: int
    point: bytes
    columns: ValueColumns
