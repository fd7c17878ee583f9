"""`sinks:` of `gateway.yaml`: the models of its entries, one for each kind of sink."""

from functools import reduce
from operator import or_
from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints

from gateway.core.config_types import DURATION_SCHEMA, SIZE_SCHEMA, ConfigModel, duration_ns, size_bytes
from gateway.encoding.formats import FormatName
from gateway.encoding.streams import StreamName
from gateway.plugins import LAYOUTS, SINKS
from gateway.settings.derived_model import derived_model

SinkName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$")]
_SHARE_BYTES: Final = size_bytes("16MiB", "1TiB")


class SinkFormat(ConfigModel):
    """The keys of a sink's own `publish:` that hold for every layout."""

    format: FormatName = "json"
    """How payloads are written, as publish.format."""


class SinkOutbox(ConfigModel):
    """What waits for this sink. What is left out is as in `outbox:`, or an equal part of it."""

    max_bytes: Annotated[int, _SHARE_BYTES, SIZE_SCHEMA] | None = None
    """Most disk space of what waits for this sink, of outbox.max_bytes. Default: an equal part of what the others leave."""
    memory: Annotated[int, size_bytes("1MiB", "64GiB"), SIZE_SCHEMA] | None = None
    """Most memory of what waits for this sink, of outbox.memory. Default: an equal part of what the others leave."""
    max_age: Annotated[int, duration_ns("1min", "36500d"), DURATION_SCHEMA] | None = None
    """Messages older than this are dropped for this sink, with a loss record; no more than outbox.max_age."""
    backlog_order: Literal["oldest-first", "newest-first"] | None = None
    """As outbox.backlog_order."""
    backlog_messages: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """Most backlog messages sent per second; 0: no limit."""
    backlog_bytes: Annotated[int, size_bytes("0B", "1TiB"), SIZE_SCHEMA] | None = None
    """Most payload bytes of backlog sent per second; 0: no limit."""


def _publish_model() -> Any:
    names: Any = Literal[tuple(LAYOUTS)]
    about = f"As publish.layout: {', '.join(LAYOUTS)}."
    first = derived_model("SinkLayoutChoice", ConfigModel, layout=(names, Field(next(iter(LAYOUTS)), description=about)))
    models = [plugin.config_model for plugin in LAYOUTS.values()]
    doc = "How messages look at this sink. What is left out is as in `publish:`."
    return derived_model("SinkPublish", *reversed(models), SinkFormat, first, doc=doc)


SinkPublish: Final = _publish_model()


class SinkCommon(ConfigModel):
    """The keys of every entry of `sinks:`."""

    name: SinkName
    """Name of the sink: unique, small letters, digits and -. It names its files and its loss records."""
    streams: tuple[StreamName, ...] = ()
    """What it gets: events, windows, summaries, values, stats, raw. Empty: all. Its own loss records come in any case."""
    outbox: SinkOutbox = SinkOutbox()
    """What waits for this sink."""
    begin: Literal["now", "backlog"] = "now"
    """What a new sink begins with. now: what is made from then on. backlog: also what waits for the sink that has most
    waiting at that time."""
    was: SinkName | None = None
    """The name that the sink had before: what waits under that name goes on under the new one. It may stay."""


def _entry_model(kind: str) -> Any:
    plugin = SINKS[kind]
    named: Any = Literal[kind]
    return derived_model(
        f"{kind.capitalize()}SinkEntry",
        plugin.config_model,
        SinkCommon,
        doc=f"A sink of kind {kind}. {plugin.description}",
        kind=(named, Field(description="What it is: " + " or ".join(SINKS) + ".")),
        publish=(SinkPublish, Field(default_factory=SinkPublish, description=SinkPublish.__doc__)),
    )


def _one_of_all() -> Any:
    models = [_entry_model(kind) for kind in SINKS]
    if len(models) == 1:
        return models[0]
    return Annotated[reduce(or_, models), Field(discriminator="kind")]


SinkEntry: Final = _one_of_all()
"""The type of an entry of `sinks:`."""
