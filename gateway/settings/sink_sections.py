"""The sections of `gateway.yaml` that say where messages go: one per sink plug-in, of which one is used, or `sinks:`."""

from typing import TYPE_CHECKING, Any, Final, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.core.ports.sink_plugin import SinkPlugin, TopicRooted
from gateway.plugins import SINKS
from gateway.settings.derived_model import derived_model
from gateway.settings.host_name import GatewayName
from gateway.settings.sink_list import SinkEntry

DEFAULT_SINK: Final = next(iter(SINKS))
_DEFAULT_ROOT: Final = "plant"


class NamedGateway(BaseSettings):
    """The gateway's name, which stands first."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True)

    name: GatewayName
    """Name of this gateway: one level of every topic, unique at the broker. %H (or ${HOSTNAME}) is the host name, %m (or
    ${MACHINE_ID}) the machine id."""


class _ChosenSink(NamedGateway):
    sinks: tuple[SinkEntry, ...] = ()
    """Several sinks, in place of one section. Each has a name, a `kind`, its own choice of streams, layout and format, and
    the keys of its kind: [{name: cloud, kind: mqtt, url: ...}]."""

    @model_validator(mode="after")
    def _one_sink(self) -> Self:
        given = [name for name in SINKS if name in self.model_fields_set and getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are both given, and messages go to one of them: remove the others")
        if given and self.sinks:
            raise ValueError(f"sinks and {given[0]} are both given: move {given[0]} into the list, or remove one of them")
        return self

    @property
    def sink_plugin(self) -> SinkPlugin:
        """Return the plug-in of the sink that messages go to, of several the first."""
        if self.sinks:
            return SINKS[self.sinks[0].kind]
        others = (name for name in SINKS if name != DEFAULT_SINK and getattr(self, name) is not None)
        return SINKS[next(others, DEFAULT_SINK)]

    @property
    def sink(self) -> Any:
        """Return its section or entry."""
        return self.sinks[0] if self.sinks else getattr(self, self.sink_plugin.name)

    @property
    def topic_root(self) -> str:
        """Return the first level or levels of every topic."""
        sections = [(SINKS[one.kind], one) for one in self.sinks] or [(self.sink_plugin, self.sink)]
        return next((plugin.topic_root(one) for plugin, one in sections if isinstance(plugin, TopicRooted)), _DEFAULT_ROOT)


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
