"""An objection to a certificate. Pure."""

from dataclasses import dataclass

from gateway.sources.opcua.config.accept import ObjectionKind


@dataclass(frozen=True, slots=True)
class Objection:
    """One thing that is wrong with a certificate.

    kind: its name in the configuration; fingerprint: of the certificate that is objected to; words: what is wrong, and what
    to do about it, as a part of a sentence.
    """

    kind: ObjectionKind
    fingerprint: str
    words: str
