"""`publish:` of `gateway.yaml` and of device files: the common keys, and those that each layout adds."""

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field

from gateway.core.config_types import ConfigModel
from gateway.encoding.config import DevicePublishFormat, PublishFormat
from gateway.plugins import LAYOUTS
from gateway.settings.derived_model import derived_model
from gateway.stages.config import PublishConfig

_NAMES: Final = tuple(LAYOUTS)
_OF_DEVICES: Final = tuple(name for name, plugin in LAYOUTS.items() if plugin.device_model is not None)


def _may_be_a_devices_own(value: Any) -> Any:
    plugin = LAYOUTS.get(value) if isinstance(value, str) else None
    if plugin is not None and plugin.device_model is None:
        raise ValueError(
            f"{value} is for a whole gateway, since {plugin.whole_gateway_reason}: "
            f"set publish.layout in gateway.yaml; expected {' or '.join(_OF_DEVICES)}"
        )
    return value


def _publish_model() -> Any:
    about = " ".join(f"`{name}`: {plugin.description}" for name, plugin in LAYOUTS.items())
    names: Any = Literal[_NAMES]
    layout: Any = (names, Field(_NAMES[0], description=about))
    models = [plugin.config_model for plugin in LAYOUTS.values()]
    first = derived_model("LayoutChoice", ConfigModel, layout=layout)  # pydantic lists the last base's keys first
    return derived_model(
        "Publish",
        PublishConfig,
        *reversed(models),
        PublishFormat,
        first,
        doc="What is sent upstream, and how it looks there.",
    )


def _device_publish_model() -> Any:
    names: Any = Literal[_OF_DEVICES]
    choice: Any = Annotated[names | None, BeforeValidator(_may_be_a_devices_own)]
    layout: Any = (choice, Field(None, description=f"{' or '.join(f'`{name}`' for name in _OF_DEVICES)}."))
    models = [plugin.device_model for plugin in LAYOUTS.values() if plugin.device_model is not None]
    first = derived_model("DeviceLayoutChoice", ConfigModel, layout=layout)
    return derived_model(
        "DevicePublish",
        *reversed(dict.fromkeys(models)),
        DevicePublishFormat,
        first,
        doc="The keys of a device's own `publish:`. What it leaves out is as in gateway.yaml.",
    )


if TYPE_CHECKING:

    class Publish(PublishConfig, PublishFormat):
        """What is sent upstream, and how it looks there."""

        layout: str = ""

    class DevicePublish(DevicePublishFormat):
        """The keys of a device's own `publish:`. What it leaves out is as in gateway.yaml."""

        layout: str | None = None

else:
    Publish = _publish_model()
    DevicePublish = _device_publish_model()
