"""What a protocol folder tells the rest of the gateway about itself."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.core.clock import Clock
from gateway.core.config_types import DeviceModel, TagModel
from gateway.core.ports.source import Source


@dataclass(frozen=True, slots=True)
class DeviceEntry:
    """A device as configured and where it stands in the tag table.

    number: its row among the table's devices; first_tag: the id of tags[0], the others follow without a gap. held_ns: how
    long at most a sample that was handed on is in memory only, and may be lost with the process.
    """

    number: int
    config: Any
    tags: Sequence[Any]
    first_tag: int
    held_ns: int = 3_000_000_000


def _nothing_between(*_: Any) -> Sequence[tuple[int, str, str, str]]:
    return ()


def _not_known(device: Any, tag: Any) -> bool:
    del device, tag
    return False


def _nowhere(device: Any) -> Path | None:
    del device
    return None


def _as_it_is(tag: Any, line: Mapping[str, str]) -> Any:
    del line
    return tag


def _at_once(*_: Any) -> int:
    return 0


@dataclass(frozen=True, slots=True)
class SourceKind:
    """One protocol, exported by its folder as `KIND`.

    name: the value of `protocol:` in a device file. device_model, tag_model: its configuration models.
    check(device, tag): what is wrong with a tag on just this device, as (key, message, expected), or None.
    is_single(device, tag): the tag's values are float32. interval_ns(device, tag): how often a sample is due, 0 when the
    device decides. plan(entries): lines for `gateway check` that say what would be read, no I/O.
    build(entries, clock): one Source per connection; imports the protocol's library on first use, does no I/O.
    is_logical(device, tag): the tag is a bit, as far as the configuration says; is_text: its values are no numbers.
    check_tags(device, tags): what is wrong between the tags of one device, as (place in tags, key, message, expected).
    check_devices(devices): what is wrong between the devices of this protocol, as (their place, key, message, expected).
    delay_ns(device, tags): how much later than its time a sample may come by what is configured.
    found(device): a tag file, outside the configuration, of tags that the device itself told of, which are its tags beside
    the configured ones; None when it has none. told(device): a file in which it told of the configured tags themselves,
    None when it is not asked; completed(tag, line): a tag with what a line of that file says and the configuration does not.
    asks(device, tags): it is to be asked at the start. find(device, tags, clock): ask it, and write these files; what is new
    in them, None for nothing. Raises NotConnected.
    """

    name: str
    device_model: type[DeviceModel]
    tag_model: type[TagModel]
    check: Callable[[Any, Any], tuple[str, str, str] | None]
    is_single: Callable[[Any, Any], bool]
    interval_ns: Callable[[Any, Any], int]
    plan: Callable[[Sequence[DeviceEntry]], list[str]]
    build: Callable[[Sequence[DeviceEntry], Clock], Sequence[Source]]
    check_tags: Callable[[Any, Sequence[Any]], Sequence[tuple[int, str, str, str]]] = _nothing_between
    check_devices: Callable[[Sequence[Any]], Sequence[tuple[int, str, str, str]]] = _nothing_between
    is_logical: Callable[[Any, Any], bool] = _not_known
    is_text: Callable[[Any, Any], bool] = _not_known
    found: Callable[[Any], Path | None] = _nowhere
    told: Callable[[Any], Path | None] = _nowhere
    completed: Callable[[Any, Mapping[str, str]], Any] = _as_it_is
    asks: Callable[[Any, Sequence[Any]], bool] = _not_known
    find: Callable[[Any, Sequence[Any], Clock], Awaitable[object]] | None = None
    delay_ns: Callable[[Any, Sequence[Any]], int] = _at_once
