"""Configuration of an OPC UA device and its tags."""

import math
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, SecretStr, WithJsonSchema, model_validator

from gateway.core.config_types import (
    DURATION_SCHEMA,
    DeviceModel,
    DurationNs,
    ExistingFile,
    FolderPath,
    IntervalNs,
    TagModel,
    TimeoutNs,
    default,
    duration_ns,
)
from gateway.sources.opcua.config.accept import OpcUaAccept
from gateway.sources.opcua.config.browse import Browse
from gateway.sources.opcua.config.events import OpcUaEvents
from gateway.sources.opcua.config.item_filter import Deadband, Trigger, parse_deadband
from gateway.sources.opcua.config.node_text import NodeText
from gateway.sources.opcua.config.pki_folder import DEFAULT_FOLDER, DEFAULT_FOUND, DEFAULT_KEPT, usual_folder
from gateway.sources.opcua.config.value_selection import element_text, field_text, index_range

_URL_EXPECTED = "opc.tcp://HOST:PORT/PATH, for instance opc.tcp://192.168.0.10:4840"


def _endpoint_url(text: str) -> str:
    """Return an endpoint URL with its port written out; 4840 where none is given (OPC UA Part 6, 7.2)."""
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}; expected {_URL_EXPECTED}") from None
    if url.scheme != "opc.tcp" or not host:
        raise ValueError(f"{text!r} is not an OPC UA address; expected {_URL_EXPECTED}")
    if "@" in url.netloc:
        raise ValueError("credentials do not belong in the address; expected the keys username and password")
    if host in ("0.0.0.0", "::"):  # noqa: S104  # not bound to
        raise ValueError(f"{text!r}: at {host} a server listens, but nobody finds it; expected its own name or address")
    if any(c.isspace() for c in text):
        raise ValueError(f"{text!r} contains a space; expected {_URL_EXPECTED}")
    netloc = url.netloc if port is not None else f"{url.netloc.rstrip(':')}:4840"
    return url._replace(netloc=netloc).geturl()


def _entries(value: object) -> object:
    """One entry may stand without a list."""
    if isinstance(value, dict | Browse):
        return (value,)
    if not isinstance(value, list | tuple) or not all(isinstance(one, dict | Browse) for one in value):
        raise ValueError(
            f"{value!r} is not what to browse; expected keys such as root: and include:, or a list of such entries"
        )
    return tuple(value)


def _factor(value: float) -> float:
    if value == 0:
        raise ValueError("0 would turn every value into the offset; expected a number other than 0")
    return value


Finite = Annotated[float, Field(allow_inf_nan=False)]
DeadbandText = Annotated[
    Deadband,
    BeforeValidator(parse_deadband),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0},
                {"type": "string", "pattern": r"^\s*\d+(\.\d+)?([eE][+-]?\d+)?\s*%?\s*$"},
            ]
        }
    ),
]
_ENTRY: dict[str, Any] = Browse.model_json_schema()
_BROWSE_SCHEMA = WithJsonSchema({"anyOf": [_ENTRY, {"type": "array", "items": _ENTRY}]})
_TEXT_OR_NUMBER = WithJsonSchema({"type": ["string", "integer"]})


class OpcUaDevice(DeviceModel):
    """An OPC UA server."""

    protocol: Literal["opcua"]
    """The word opcua."""
    url: Annotated[str, AfterValidator(_endpoint_url)]
    """Endpoint address of the server, opc.tcp://HOST:PORT/PATH. The port defaults to 4840."""
    urls: Annotated[tuple[Annotated[str, AfterValidator(_endpoint_url)], ...], Field(max_length=16)] = ()
    """Further servers of the same nodes. The one that runs and has the highest ServiceLevel is used, another one when it
    fails or falls below 200, and url again when that has been as good for a minute."""
    mode: Literal["subscribe", "poll"] = "subscribe"
    """`subscribe`: the server reports changes. `poll`: all tags are read once per interval."""
    interval: IntervalNs = default("250ms")
    """Publishing interval of the subscription, or time between two polls (then 1s unless given); with a unit. A tag may say
    otherwise."""
    sampling: IntervalNs = default("250ms")
    """How often the server looks at a node for changes (subscribe only); with a unit. A tag may say otherwise."""
    queue_size: Annotated[int, Field(ge=1, le=100_000)] = 10
    """Samples that the server keeps per node between two publications (subscribe only). A tag may say otherwise."""
    server_deadband: DeadbandText = Deadband()
    """Changes up to this are not reported by the server (subscribe only): 0.5 in the node's own unit, or 0.5% of its
    EURange. A tag may say otherwise."""
    trigger: Trigger = "value"
    """What the server reports (subscribe only): changes of the `status`, also of the `value`, also of the source `timestamp`
    alone. A tag may say otherwise."""
    browse: Annotated[tuple[Browse, ...], Field(max_length=1000), BeforeValidator(_entries), _BROWSE_SCHEMA] = ()
    """Variables below a folder, or of objects of a type, become tags, beside those in tags and tag_file (which win): one
    entry or a list. The server is asked at each start; what it last said is kept in found, and serves while it is away."""
    found: FolderPath = DEFAULT_FOUND
    """Folder where the tags that browse found are kept, as tag files, and below units/ what the server tells of tags that
    give no unit or range."""
    refresh: IntervalNs = default("1h")
    """How often browse, units and ranges are compared with the server; what has changed is told as an event."""
    share_session: bool = False
    """True: one connection and one session for all devices with this key that have the same url, security and login (several
    machines behind one server). A device whose shared connection ends within a minute has one of its own for 10 minutes at
    least."""
    register_nodes: bool = False
    """True lets the server prepare for reading the same nodes again and again (poll only; RegisterNodes)."""
    timeout: TimeoutNs = default("10s")
    """Longest wait for an answer, and about the longest silence before the connection counts as lost; with a unit. A server
    whose answers take longer than a third of it is given up to four times as long, most of all while it is connected."""
    session_timeout: Annotated[TimeoutNs, Field(ge=1_000_000_000)] = default("60s")
    """How long the server keeps the session of a gateway that has gone silent; with a unit, at least 1s."""
    username: str | None = None
    """User name; anonymous without it. The password is encrypted with the server's policy."""
    password: SecretStr | None = None
    """Password of the user. Better given in the environment than in a file."""
    plain_password: bool = False
    """True allows a password to travel in clear where the server offers no encryption for it."""
    user_certificate: ExistingFile | None = None
    """PEM or DER file: log in with this X.509 certificate instead of a user name. Needs user_key."""
    user_key: ExistingFile | None = None
    """PEM or DER file with the private RSA key of user_certificate, without a pass phrase."""
    security: Literal[
        "auto", "Aes256_Sha256_RsaPss", "Aes128_Sha256_RsaOaep", "Basic256Sha256", "Basic256", "Basic128Rsa15", "none"
    ] = "auto"
    """Security policy. `auto`: the strongest that the server has, SHA-1 and none excluded. Basic256 and Basic128Rsa15 rest
    on SHA-1, which is broken. `none`: anybody can read and change what is sent, and the server is not authenticated."""
    security_mode: Literal["SignAndEncrypt", "Sign"] = "SignAndEncrypt"
    """`Sign`: others can read, but not change. Of no effect with security none."""
    check_host: bool = True
    """False accepts a trusted certificate that is made for another host name or address than url's."""
    accept: tuple[OpcUaAccept, ...] = ()
    """Objections to certificates that are accepted, each by name and for one fingerprint."""
    pki: FolderPath = Field(default_factory=usual_folder, json_schema_extra={"default": str(DEFAULT_FOLDER)})
    """Folder of the gateway's own certificate and its trust lists; made on first use. The variable GATEWAY_OPCUA_PKI names
    another default, for commands and for `run`."""
    events: Annotated[tuple[OpcUaEvents, ...], Field(max_length=100)] = ()
    """Events and alarms of the server, which become events of the device (subscribe only)."""
    silence: DurationNs = default("5min")
    """Nodes of which nothing was heard for so long are read once; where the value is another than the last one heard the
    node is watched anew, and when that helps nothing the connection is made anew. With a unit; 0s: never."""
    history: bool = False
    """True: after a lost connection, and after a restart of the gateway, nodes with a history are read back."""
    history_most: Annotated[int, duration_ns("1s", "30d"), DURATION_SCHEMA] = default("1h")
    """How far back that goes at most; with a unit."""
    history_samples: Annotated[int, Field(ge=1, le=10_000_000)] = 10_000
    """How many samples of one node are read back at most."""
    history_kept: FolderPath = DEFAULT_KEPT
    """Folder in which earlier versions kept files that say up to when samples were read. They are taken over into the outbox
    at the first start with history, and removed; no others are written."""
    times: Literal["server", "gateway"] = "server"
    """Whose clock stamps values and events. `gateway`: when they were received, for a server whose clock nobody sets."""
    clock_tolerance: Annotated[int, duration_ns("0s", "1d"), DURATION_SCHEMA] = default("5s")
    """How far the server's clock may be off before its source times are replaced by the gateway's time; with a unit."""

    @model_validator(mode="after")
    def _history_has_the_servers_times(self) -> "OpcUaDevice":
        if self.history and self.times == "gateway":
            raise ValueError("a history has the server's times; expected times: server, or no history")
        return self

    def trust_places(self) -> list[Path]:
        """Return the folders of trusted certificates, of authorities and of their revocation lists."""
        return [self.pki / "trusted", self.pki / "issuers"]

    @model_validator(mode="after")
    def _servers_differ(self) -> "OpcUaDevice":
        everyone = [self.url, *self.urls]
        twice = sorted(url for url, count in Counter(everyone).items() if count > 1)
        if twice:
            raise ValueError(f"{', '.join(twice)} is named twice in url and urls; expected a different server each")
        return self

    @model_validator(mode="after")
    def _shared_sessions_have_one_server(self) -> "OpcUaDevice":
        if self.share_session and self.urls:
            raise ValueError("a session is shared on one server only; expected share_session without urls")
        return self

    @model_validator(mode="after")
    def _events_need_a_subscription(self) -> "OpcUaDevice":
        if self.events and self.mode == "poll":
            raise ValueError("events come by subscription only; expected mode: subscribe, or no events")
        return self

    @model_validator(mode="before")
    @classmethod
    def _polls_are_slower(cls, given: Any) -> Any:
        """Set a slower default interval: a subscription costs the server what changes, a poll all nodes."""
        if isinstance(given, dict) and given.get("mode") == "poll" and given.get("interval") is None:
            return given | {"interval": "1s"}
        return given

    @model_validator(mode="after")
    def _silence_is_longer_than_the_interval(self) -> "OpcUaDevice":
        if 0 < self.silence < 2 * self.interval:
            raise ValueError(
                "silence is shorter than two intervals; expected more, because nothing comes in between (0s: never)"
            )
        return self

    @model_validator(mode="after")
    def _user_has_password(self) -> "OpcUaDevice":
        if (self.username is None) != (self.password is None):
            missing = "password" if self.password is None else "username"
            raise ValueError(f"username and password belong together; expected {missing} too, here or as a variable")
        if (self.user_certificate is None) != (self.user_key is None):
            missing = "user_key" if self.user_key is None else "user_certificate"
            raise ValueError(f"user_certificate and user_key belong together; expected {missing} as well")
        if self.user_certificate is not None and self.username is not None:
            raise ValueError(
                "there are two ways to log in; expected username and password, or user_certificate and user_key"
            )
        return self


class OpcUaTag(TagModel):
    """A variable of an OPC UA server. value = number of the node x scale + offset."""

    node: NodeText
    """NodeId of the variable: ns=2;s=Line/Speed, ns=3;i=1001, i=2258, ns=2;g=UUID, ns=2;b=BASE64;
    or nsu=URI; instead of ns=2; where the server may number its namespaces anew.
    Or a browse path from the root: /Objects/2:Line/2:Speed, /Objects/{URI}Line/{URI}Speed; & before / or & in a name."""
    index: Annotated[str, BeforeValidator(index_range), _TEXT_OR_NUMBER] | None = None
    """Only this part of an array, cut out by the server: "2", "1:3", "0:1,4", counted from 0. One element is a number."""
    element: Annotated[str, BeforeValidator(element_text), _TEXT_OR_NUMBER] | None = None
    """Only this element of an array, counted from 0; "1,2" in two dimensions. Taken out of the whole value here."""
    field: Annotated[str, BeforeValidator(field_text)] | None = None
    """Only this field of a structure or union: speed, temperature.value, axes[2].speed. After element, if both are given."""
    scale: Annotated[Finite, AfterValidator(_factor)] = 1.0
    """Factor from the node's number to the engineering unit. 0.1, 0.01 ... divide by 10, 100 ... exactly."""
    offset: Finite = 0.0
    """Added after scaling, in the engineering unit."""
    interval: IntervalNs | None = None
    """How often it is published (tags with the same interval share a subscription) or polled; with a unit. Default: the
    device's interval."""
    sampling: IntervalNs | None = None
    """How often the server looks at this node (subscribe only); with a unit. Default: the device's sampling."""
    queue_size: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Samples that the server keeps between two publications (subscribe only). Default: the device's queue_size."""
    server_deadband: DeadbandText | None = None
    """Changes up to this are not reported by the server (subscribe only): 0.5, or 0.5% of EURange. Default: the device's."""
    trigger: Trigger | None = None
    """What the server reports (subscribe only): `status`, `value` or `timestamp`. Default: the device's trigger."""
    _completed: bool = PrivateAttr(False)

    @property
    def is_completed(self) -> bool:
        """Not all of it stands in the configuration."""
        private = self.__pydantic_private__  # pydantic looks for a private attribute in 2 us, of 50,000 tags at once
        return bool(private and private["_completed"])

    def completed(self, reported: dict[str, Any]) -> Self:
        """Return a copy with what the server reported of it."""
        copy = self.model_copy(update=reported)
        copy._completed = True
        return copy


def exact_divisor(scale: float) -> float:
    """Return the whole number to divide by instead of multiplying by `scale`, 0 when there is none.

    234 x 0.1 is 23.400000000000002 and 234 / 10 is 23.4: a decimal scale means the division.
    """
    inverse = 1 / scale
    whole = round(inverse) if math.isfinite(inverse) else 0
    return float(whole) if 1 < abs(whole) <= 2**53 and abs(inverse - whole) <= 1e-12 * abs(inverse) else 0.0
