"""What a server's refusal of a channel or a login means, and what to do about it."""

from datetime import UTC, datetime
from typing import Final

from asyncua.ua.uaerrors import UaStatusCodeError

from gateway.core.errors import NotConnected
from gateway.sources.opcua.config.device import OpcUaDevice
from gateway.sources.opcua.security.pki import Pki
from gateway.sources.opcua.status.codes import status_name

_TIME_INVALID: Final = 0x80140000
_DISTRUST: Final = frozenset({*range(0x80120000, 0x801E0000, 0x10000), 0x80550000, 0x80580000, 0x810D0000})
"""Certificate invalid to revoked, security checks failed; policy rejected; signature invalid; chain incomplete."""
_NOT_LET_IN: Final = frozenset({0x801F0000, 0x80200000, 0x80210000})
"""User access denied; identity token invalid, rejected."""


def distrusted(error: UaStatusCodeError, config: OpcUaDevice) -> Exception:
    """Return the error of a refused channel: where it is about our certificate, with what to do."""
    if error.code not in _DISTRUST or config.security == "none":
        return error
    if error.code == _TIME_INVALID:
        advice = (
            f"to its clock the certificate {Pki(config.pki).own_path} has expired or is not yet valid: compare the clocks "
            f"(here it is {datetime.now(UTC):%Y-%m-%d %H:%M}Z), or make a new one with gateway cert new"
        )
    else:
        advice = untrusted_here(config)
    text = f"{config.url}: the server refuses: {status_name(error.code)}; {advice}"
    return NotConnected(text, security="certificate_refused")


def untrusted_here(config: OpcUaDevice) -> str:
    """Return what helps where the server does not trust this gateway."""
    return (
        f"it may not trust this gateway's certificate yet: copy {Pki(config.pki).own_path} into its trust list, or accept "
        "it there among the rejected ones"
    )


def not_let_in(error: UaStatusCodeError, config: OpcUaDevice) -> Exception:
    """Return the error of a refused login: the channel is open, so what the server refuses is the user."""
    if error.code not in _NOT_LET_IN or (config.username is None and config.user_certificate is None):
        return distrusted(error, config)
    if config.username is not None:
        who, advice = f"the user {config.username!r}", "check username and password, and what the server lets this user do"
    else:
        who, advice = f"the user's certificate {config.user_certificate}", "the server has to trust it, and let its user in"
    text = f"{config.url}: the server refuses {who}: {status_name(error.code)}: {advice}"
    return NotConnected(text, security="login_refused")
