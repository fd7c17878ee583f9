"""The options of commands as configuration models."""

import os
from collections.abc import Sequence

from pydantic import ValidationError

from gateway.core.errors import UsageError
from gateway.core.ports.device_tools import Options
from gateway.sources.opcua.config.browse import Browse
from gateway.sources.opcua.config.device import OpcUaDevice, OpcUaTag
from gateway.sources.opcua.config.pki_folder import DEFAULT_FOLDER

PASSWORD_VARIABLE = "GATEWAY_OPCUA_PASSWORD"  # noqa: S105 - a name, not a password


def device_of(url: str, **keys: object) -> OpcUaDevice:
    """Return the model of a server. keys: of a device file; None and "" count as not given. Raises UsageError."""
    given = {key: value for key, value in keys.items() if value is not None and (value != "" or key == "password")}
    try:
        return OpcUaDevice.model_validate({"name": "server", "protocol": "opcua", "url": url, **given})
    except ValidationError as error:
        raise _refused(error) from None


def device_with_login(url: str, options: Options) -> OpcUaDevice:
    """Return the model of a server with the login that the command line asks for. Raises UsageError."""
    password = os.environ.get(PASSWORD_VARIABLE) if options["username"] else None
    if options["username"] and password is None:
        raise UsageError(f"--username: there is no password: set {PASSWORD_VARIABLE}")
    timeout_s = options.get("timeout")
    return device_of(
        url,
        security=options["security"],
        security_mode=options["security_mode"],
        username=options["username"],
        password=password,
        pki=str(options["pki"] or DEFAULT_FOLDER),
        check_host=None if options["check_host"] else False,
        accept=[_accept(text) for text in options["accept"]],
        timeout=timeout_s and f"{timeout_s:.3f}s",
    )


def _accept(text: str) -> dict[str, object]:
    """Return an entry of `accept` as the command line gives it."""
    fingerprint, sign, objections = text.partition("=")
    if not sign:
        raise UsageError(
            f"--accept: {text!r} is not understood; expected FINGERPRINT=OBJECTION,..., such as 0fd2...=expired"
        )
    return {"certificate": fingerprint, "although": objections.split(",")}


def browse_of(options: Options) -> Browse:
    """Return what to browse. Raises UsageError."""
    keys = {key: options[key] for key in ("root", "include", "exclude", "depth", "type", "members", "properties")}
    values = "all" if options["everything"] else "numbers"
    try:
        return Browse.model_validate({key: value for key, value in keys.items() if value} | {"values": values})
    except ValidationError as error:
        raise _refused(error) from None


def tags_of(names: Sequence[str]) -> list[OpcUaTag]:
    """Return tags that are nothing but NodeIds or browse paths. Raises UsageError where one is neither."""
    try:
        return [OpcUaTag.model_validate({"name": "node", "node": name}) for name in names]
    except ValidationError as error:
        raise UsageError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


def _refused(error: ValidationError) -> UsageError:
    """Return which options are wrong, by their names on the command line."""
    lines = []
    for problem in error.errors():
        option = ".".join(map(str, problem["loc"][:1])).replace("_", "-")
        name = f"{'' if option == 'url' else '--'}{option}: " if option else ""
        if "expected" in problem.get("ctx", {}):
            lines.append(f"{name}{problem['input']!r} is not allowed; expected {problem['ctx']['expected']}")
        else:
            lines.append(f"{name}{problem['msg'].removeprefix('Value error, ')}")
    return UsageError("\n".join(lines))
