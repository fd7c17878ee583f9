"""The sections of `gateway.yaml` that say where messages go: one per sink plug-in, of which one is used."""

from typing import TYPE_CHECKING, Any, Final, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.core.ports.sink_plugin import SinkPlugin, TopicRooted
from gateway.plugins import SINKS
from gateway.settings.derived_model import derived_model
from gateway.settings.host_name import GatewayName

DEFAULT_SINK: Final = next(iter(SINKS))
_DEFAULT_ROOT: Final = "plant"


class NamedGateway(BaseSettings):
    """The gateway's name, which stands first."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True)

    name: GatewayName
    """Name of this gateway: one level of every topic, unique at the broker. %H (or ${HOSTNAME}) is the host name, %m (or
    ${MACHINE_ID}) the machine id."""


class _ChosenSink(NamedGateway):
    @model_validator(mode="after")
    def _one_sink(self) -> Self:
        given = [name for name in SINKS if name in self.model_fields_set and getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are both given, and messages go to one of them: remove the others")
        return self

    @property
    def sink_plugin(self) -> SinkPlugin:
        """Return the plug-in of the sink that messages go to."""
        others = (name for name in SINKS if name != DEFAULT_SINK and getattr(self, name) is not None)
        return SINKS[next(others, DEFAULT_SINK)]

    @property
    def sink(self) -> Any:
        """Return its section."""
        return getattr(self, self.sink_plugin.name)

    @property
    def topic_root(self) -> str:
        """Return the first level or levels of every topic."""
        plugin = self.sink_plugin
        return plugin.topic_root(self.sink) if isinstance(plugin, TopicRooted) else _DEFAULT_ROOT


def _sections() -> dict[str, Any]:
    """Return the fields: the first sink has a section in any case, the others only where it is given."""
    fields: dict[str, Any] = {}
    for name, plugin in SINKS.items():
        model: Any = plugin.config_model
        if name == DEFAULT_SINK:
            fields[name] = (model, Field(default_factory=model, description=plugin.description))
        else:
            fields[name] = (model | None, Field(None, description=plugin.description))
    return fields


if TYPE_CHECKING:

    class SinkSections(_ChosenSink):
        """One section per sink plug-in."""

else:
    SinkSections = derived_model("SinkSections", _ChosenSink, **_sections())
