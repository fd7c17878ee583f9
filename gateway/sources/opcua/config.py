"""Configuration of an OPC UA device and its tags."""

import math
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from gateway.core.fields import (
    DURATION_SCHEMA,
    DeviceModel,
    DurationNs,
    ExistingFile,
    FilePath,
    IntervalNs,
    TagModel,
    TimeoutNs,
    default,
    duration_ns,
)
from gateway.sources.opcua.folders import DEFAULT_FOLDER
from gateway.sources.opcua.nodeid import parse_node_id

_URL_EXPECTED = "opc.tcp://HOST:PORT/PATH, for instance opc.tcp://192.168.0.10:4840"


def _endpoint_url(text: str) -> str:
    """An endpoint URL with its port written out (4840 where none is given, OPC UA Part 6, 7.2)."""
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}; expected {_URL_EXPECTED}") from None
    if url.scheme != "opc.tcp" or not host:
        raise ValueError(f"{text!r} is not an OPC UA address; expected {_URL_EXPECTED}")
    if "@" in url.netloc:
        raise ValueError("credentials do not belong in the address; expected the keys username and password")
    if any(c.isspace() for c in text):
        raise ValueError(f"{text!r} contains a space; expected {_URL_EXPECTED}")
    netloc = url.netloc if port is not None else f"{url.netloc.rstrip(':')}:4840"
    return url._replace(netloc=netloc).geturl()


def _node_text(text: object) -> str:
    text = text.strip() if isinstance(text, str) else text
    parse_node_id(text)
    return str(text)


def _factor(value: float) -> float:
    if value == 0:
        raise ValueError("0 would turn every value into the offset; expected a number other than 0")
    return value


Finite = Annotated[float, Field(allow_inf_nan=False)]
NodeText = Annotated[str, BeforeValidator(_node_text)]


class OpcUaDevice(DeviceModel):
    """An OPC UA server."""

    protocol: Literal["opcua"]
    """The word opcua."""
    url: Annotated[str, AfterValidator(_endpoint_url)]
    """Endpoint address of the server, opc.tcp://HOST:PORT/PATH. The port defaults to 4840."""
    mode: Literal["subscribe", "poll"] = "subscribe"
    """`subscribe`: the server reports changes. `poll`: all tags are read once per interval."""
    interval: IntervalNs = default("1s")
    """Publishing interval of the subscription, or time between two polls; with a unit."""
    sampling: IntervalNs = default("500ms")
    """How often the server looks at a node for changes (subscribe only); with a unit. A tag may say otherwise."""
    queue_size: Annotated[int, Field(ge=1, le=100_000)] = 10
    """Samples that the server keeps per node between two publications (subscribe only)."""
    timeout: TimeoutNs = default("10s")
    """Longest wait for an answer, and about the longest silence before the connection counts as lost; with a unit."""
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
    pki: FilePath = DEFAULT_FOLDER
    """Folder of the gateway's own certificate and its trust lists; made on first use."""
    silence: DurationNs = default("5min")
    """Nodes of which nothing was heard for so long are read once; where the value is another than the last one heard the
    node is watched anew, and when that helps nothing the connection is made anew. With a unit; 0s: never."""
    history: bool = False
    """True: after a lost connection the nodes that have a history are read back from the server."""
    history_most: Annotated[int, duration_ns("1s", "30d"), DURATION_SCHEMA] = default("1h")
    """How far back that goes at most; with a unit."""
    history_samples: Annotated[int, Field(ge=1, le=10_000_000)] = 10_000
    """How many samples of one node are read back at most."""
    clock_tolerance: DurationNs = default("5s")
    """How far the server's clock may be off before its source times are replaced by the gateway's time; with a unit."""

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
            raise ValueError(f"username and password belong together; expected {missing} as well (it may be empty text)")
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
    or nsu=URI; instead of ns=2; where the server may number its namespaces anew."""
    scale: Annotated[Finite, AfterValidator(_factor)] = 1.0
    """Factor from the node's number to the engineering unit. 0.1, 0.01 ... divide by 10, 100 ... exactly."""
    offset: Finite = 0.0
    """Added after scaling, in the engineering unit."""
    sampling: IntervalNs | None = None
    """How often the server looks at this node (subscribe only); with a unit. Default: the device's sampling."""


def exact_divisor(scale: float) -> float:
    """The whole number to divide by instead of multiplying by `scale`, or 0 when there is none.

    234 x 0.1 is 23.400000000000002 and 234 / 10 is 23.4: a decimal scale means the division.
    """
    inverse = 1 / scale
    whole = round(inverse) if math.isfinite(inverse) else 0
    return float(whole) if 1 < abs(whole) <= 2**53 and abs(inverse - whole) <= 1e-12 * abs(inverse) else 0.0
