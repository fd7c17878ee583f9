"""Configuration of the events and alarms of an OPC UA device."""

from collections import Counter
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from gateway.core.config_types import ConfigModel
from gateway.sources.opcua.config.event_field import parse_event_field
from gateway.sources.opcua.config.node_text import NodeText


def _field_path(text: str) -> str:
    parse_event_field(text)
    return text


class OpcUaEvents(ConfigModel):
    """A node whose events and alarms are wanted."""

    notifier: NodeText = "i=2253"
    """NodeId of the object that notifies. The default is the Server object, which reports everything."""
    severity: Annotated[int, Field(ge=1, le=1000)] = 1
    """Only events of at least this severity, 1 to 1000."""
    fields: Annotated[tuple[Annotated[str, AfterValidator(_field_path)], ...], Field(max_length=100)] = ()
    """Further fields of the events, as browse paths: ActiveState/Id, 2:Batch, {http://acme.com/line}Batch."""

    @model_validator(mode="after")
    def _fields_differ(self) -> "OpcUaEvents":
        twice = sorted(name for name, count in Counter(self.fields).items() if count > 1)
        if twice:
            raise ValueError(f"fields names {', '.join(twice)} twice; expected each field once")
        return self
