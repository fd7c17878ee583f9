"""What a server tells of its nodes beside their values."""

from dataclasses import dataclass

from gateway.sources.opcua.port.measures import Measure


@dataclass(frozen=True, slots=True)
class FoundTag:
    """A variable that becomes a tag. node: by namespace URI, so that it outlives a new order of namespaces."""

    path: tuple[str, ...]
    node: str
    measure: Measure = Measure()  # noqa: RUF009 - immutable
