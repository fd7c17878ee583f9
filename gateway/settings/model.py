"""The root configuration model and what a loaded configuration is."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, Field, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gateway.core.errors import Problem
from gateway.core.formula.config import FormulaKeys
from gateway.core.formula.tag import FormulaTag
from gateway.core.ports.layout_plugin import DeviceScope, LayoutScope
from gateway.core.ports.plugin import DeviceEntry, Plugin
from gateway.core.tags import TagTable
from gateway.live.history.config import HistoryConfig
from gateway.otlp.config import OtlpConfig
from gateway.outbox.config import OutboxConfig
from gateway.plugins import LAYOUTS, SOURCES
from gateway.settings.configured_sinks import ConfiguredSink, faults_of_sinks, sinks_of
from gateway.settings.derived_model import derived_model
from gateway.settings.publish_model import DevicePublish, Publish
from gateway.settings.reload_config import ReloadConfig
from gateway.settings.secrets import SecretReference
from gateway.settings.secrets_config import SecretsConfig
from gateway.settings.sink_sections import SinkSections
from gateway.stages.alarms.flood_config import AlarmsConfig
from gateway.stages.config import DetectionConfig, PolicyDefaults, TagPolicy, WindowConfig
from gateway.web.config import WebConfig

ENV_PREFIX = "GATEWAY__"


class Root(SinkSections):
    """`gateway.yaml`: who the gateway is, where it sends, how it stores, what it does with samples."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        validate_default=True,
    )

    outbox: OutboxConfig = Field(default_factory=OutboxConfig)
    """The durable queue between the windows and the broker."""
    window: WindowConfig = Field(default_factory=WindowConfig)
    """Length and grace of the windows."""
    detection: DetectionConfig = Field(default_factory=DetectionConfig)
    """The adaptive detector; tags choose it with their key `anomaly`."""
    alarms: AlarmsConfig = Field(default_factory=AlarmsConfig)
    """How many alarms are published, and how they belong together."""
    history: HistoryConfig = Field(default_factory=HistoryConfig)
    """What the gateway remembers of the values that it has read."""
    publish: Publish = Field(default_factory=Publish)
    """What is sent, and how it looks."""
    defaults: PolicyDefaults = Field(default_factory=PolicyDefaults)
    """Values for tags that do not say otherwise."""
    reload: ReloadConfig = Field(default_factory=ReloadConfig)
    """How a running gateway takes a changed configuration."""
    secrets: SecretsConfig = Field(default_factory=SecretsConfig)
    """Where `!secret NAME` is looked for."""
    web: WebConfig = Field(default_factory=WebConfig)
    """The page, the API and the metrics."""
    otlp: OtlpConfig = Field(default_factory=OtlpConfig)
    """Metrics and traces for an OpenTelemetry collector."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources of values: environment variables win over the file."""
        return env_settings, init_settings

    @model_validator(mode="after")
    def _sinks_fit(self) -> Self:
        if fault := faults_of_sinks(self):
            raise ValueError(fault)
        return self

    @property
    def all_sinks(self) -> tuple[ConfiguredSink, ...]:
        """Return the sinks that messages go to, at least one."""
        return sinks_of(self)

    def layout_scope(self, devices: Sequence[DeviceScope], sink: ConfiguredSink | None = None) -> LayoutScope:
        """Return what the layout of a sink gets to see: to be checked, built, and described.

        devices: in the order of the tag table. sink: one of `all_sinks`; None: the first.
        """
        sink = sink or self.all_sinks[0]
        return LayoutScope(
            root=self.topic_root,
            gateway=self.name,
            config=sink.publish,
            devices=devices,
            sink_name=sink.plugin.name,
            sink=sink.config,
            is_per_device=LAYOUTS[sink.publish.layout].device_model is not None,
            window_s=self.window.length / 1e9,
        )


class FileRoot(Root):
    """`gateway.yaml` alone, without the variables that override it."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the file as the only source of values, without variables."""
        return (init_settings,)


@dataclass(frozen=True, slots=True)
class RefusedDevice:
    """A device whose files cannot be used."""

    name: str
    """Its name, or its file where that is not known or is the name of another device, too."""
    problems: tuple[Problem, ...]
    """The first of them, at least one."""
    is_kept: bool = False
    """It runs all the same, as the last configuration that ran says."""

    @property
    def reason(self) -> str:
        """Return why, as a sentence for people."""
        more = f" and {len(self.problems) - 1} more" if len(self.problems) > 1 else ""
        return f"its configuration cannot be used: {self.problems[0]}{more}"


@dataclass(frozen=True, slots=True)
class Settings:
    """A configuration that has been checked as a whole."""

    folder: Path
    """The folder that it was read from."""
    root: Root
    """`gateway.yaml`."""
    plugins: tuple[Plugin, ...]
    """The protocol of each of `entries`."""
    entries: tuple[DeviceEntry, ...]
    """The enabled devices, in the order of the tag table."""
    policies: tuple[TagPolicy, ...]
    """One for each tag, by tag id."""
    publishing: tuple[DevicePublish, ...]
    """The section `publish` of each device, by its row in the tag table."""
    table: TagTable
    """All devices and tags."""
    formulas: tuple[FormulaTag, ...]
    """The tags that are computed from others."""
    hash: str
    """Twelve hex digits that change with any byte of the files, or of the variables that override them."""
    warnings: tuple[str, ...] = ()
    """Sentences that begin with their place."""
    refused: tuple[RefusedDevice, ...] = ()
    """Devices that are left out because their files cannot be used; none where all have to be right."""
    refused_root: str = ""
    """Why `gateway.yaml` cannot be used, and this is the last configuration that ran; empty for what the folder says."""
    files: tuple[Path, ...] = ()
    """The files that were read."""
    secrets: tuple[SecretReference, ...] = ()
    """The secrets that gateway.yaml and the enabled devices name."""

    @property
    def layout_scope(self) -> LayoutScope:
        """Return the view of this configuration that the layout of the first sink gets."""
        return self.layout_scopes[0]

    @property
    def layout_scopes(self) -> list[LayoutScope]:
        """Return the view of this configuration that layouts get, one for each sink."""

        def names(device: int) -> list[str]:
            return [tag.name for tag in self.table.tags[slice(*self.table.range_of(device))] if tag.published]

        devices = [
            DeviceScope(name, names(number), self.publishing[number]) for number, name in enumerate(self.table.devices)
        ]
        return [self.root.layout_scope(devices, sink) for sink in self.root.all_sinks]

    def missing_secrets(self) -> list[Problem]:
        """Return a problem for each secret that is not there now."""
        return [problem for secret in self.secrets if (problem := secret.problem()) is not None]

    def by_plugin(self) -> list[tuple[Plugin, list[DeviceEntry]]]:
        """Return each protocol in use with its devices, in the order of the first of them."""
        found: dict[str, tuple[Plugin, list[DeviceEntry]]] = {}
        for plugin, entry in zip(self.plugins, self.entries, strict=True):
            found.setdefault(plugin.name, (plugin, []))[1].append(entry)
        return list(found.values())


def tag_model(plugin: Plugin) -> Any:
    """Return the model of what a tag of this protocol may say: its own keys and those of the stages."""
    return _tag_model(f"{plugin.name.capitalize()}TagEntry", plugin.tag_model)


@cache
def _tag_model(name: str, own_keys: type[BaseModel]) -> Any:
    """Return the model of a tag with these keys of its protocol. Making one takes milliseconds, and each device needs it."""
    return derived_model(name, own_keys, TagPolicy)


class FormulaEntry(FormulaKeys, TagPolicy):
    """A tag that is computed from other tags of its device."""


def device_model(plugin: Plugin) -> Any:
    """Return the model of what a device file of this protocol may say, as editors see it."""
    tag: Any = tag_model(plugin)
    tags: Any = list[tag | FormulaEntry]
    return derived_model(
        f"{plugin.name.capitalize()}DeviceFile",
        plugin.device_model,
        tags=(tags, Field([], description="The device's tags.")),
        tag_file=(str | None, Field(None, description="A CSV file in config/tags/ with further tags, one a line.")),
        defaults=(PolicyDefaults, Field({}, description="Values for this device's tags that do not say otherwise.")),
        publish=(
            DevicePublish,
            Field({}, description="How this device's messages look, if not as in gateway.yaml."),
        ),
    )


_FROM_TEMPLATE: dict[str, Any] = {
    "type": "object",
    "description": "A device whose other keys stand in a template.",
    "required": ["template"],
    "properties": {
        "template": {"type": "string", "description": "A file below templates/, for instance meters/em340.yaml."},
        "parameters": {"type": "object", "description": "Values for each ${name} in the template."},
    },
}


_LIST: dict[str, Any] = {
    "type": "object",
    "description": "Several devices. All other keys of the file belong to each of them.",
    "required": ["devices"],
    "properties": {
        "devices": {
            "type": "array",
            "description": "The devices of this file.",
            "minItems": 1,
            "items": {"type": "object", "required": ["name"], "description": "One device: its name and its own keys."},
        }
    },
}


def device_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a device file alone."""
    whole = schema()
    return {"$schema": whole["$schema"], "$ref": "#/$defs/DeviceFile", "$defs": whole["$defs"]}


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of `gateway.yaml` and, under `$defs`, of device files: for editors and reviews."""
    root = Root.model_json_schema()
    definitions = root.pop("$defs", {})
    devices = []
    for plugin in SOURCES.values():
        device = device_model(plugin).model_json_schema()
        definitions |= device.pop("$defs", {})
        device["properties"]["protocol"].pop("default", None)  # a file has to name it
        definitions[device["title"]] = device | {"required": sorted({*device.get("required", ()), "protocol"} - {"name"})}
        devices.append({"$ref": f"#/$defs/{device['title']}"})
    definitions["DeviceFromTemplate"] = _FROM_TEMPLATE
    devices.append({"$ref": "#/$defs/DeviceFromTemplate"})
    definitions["DeviceList"] = _LIST
    devices.append({"$ref": "#/$defs/DeviceList"})
    definitions["DeviceFile"] = {"anyOf": devices, "description": "One file in config/devices/."}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | root | {"$defs": definitions}
