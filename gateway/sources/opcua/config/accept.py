"""What a configuration puts up with in a certificate, each objection by its name and bound to one fingerprint."""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, model_validator

from gateway.core.config_types import ConfigModel

ObjectionKind = Literal[
    "expired", "not_yet_valid", "host", "application_uri", "key_length", "key_usage", "extended_key_usage", "path_length",
    "critical_extension", "no_crl", "crl_expired",
]  # fmt: skip
_DIGITS: Final = 64


def _fingerprint(text: str) -> str:
    digits = text.replace(":", "").lower()
    if len(digits) != _DIGITS or set(digits) - set("0123456789abcdef"):
        raise ValueError(f"{text!r} is no SHA-256 fingerprint; expected all 64 hex digits, as the refusal shows them")
    return digits


class OpcUaAccept(ConfigModel):
    """Objections to one certificate that are accepted. All others still refuse it."""

    certificate: Annotated[str, AfterValidator(_fingerprint)]
    """SHA-256 fingerprint of the certificate that is objected to, 64 hex digits: the server's, or that of an authority (for
    no_crl and crl_expired always). Another certificate, a renewed one too, is refused as before."""
    although: tuple[ObjectionKind, ...]
    """The objections, as the refusal names them: `expired`, `not_yet_valid`, `host` (made for another host),
    `application_uri` (belongs to another application), `key_length` (fewer bits than the policy wants), `key_usage`,
    `extended_key_usage`, `path_length`, `critical_extension` (one that is not understood), `no_crl` (an authority without
    revocation list), `crl_expired`."""

    @model_validator(mode="after")
    def _differ(self) -> "OpcUaAccept":
        if not self.although:
            raise ValueError("although is empty; expected at least one objection, as the refusal names it")
        if len(set(self.although)) < len(self.although):
            raise ValueError("although names an objection twice; expected each once")
        return self


def accepted(entries: tuple[OpcUaAccept, ...]) -> frozenset[tuple[str, str]]:
    """Return the pairs of fingerprint and objection that are accepted."""
    return frozenset((entry.certificate, kind) for entry in entries for kind in entry.although)
