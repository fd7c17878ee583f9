"""Whether a server's certificate is taken: judged by the trust lists, refused with what to do. Reads files: for a thread."""

from datetime import UTC, datetime
from itertools import groupby
from urllib.parse import urlsplit

import structlog

from gateway.core.errors import NotConnected
from gateway.sources.opcua.config.accept import accepted
from gateway.sources.opcua.config.device import OpcUaDevice
from gateway.sources.opcua.config.pki_folder import DEFAULT_FOLDER
from gateway.sources.opcua.security.endpoints import SHA1
from gateway.sources.opcua.security.peer_certificate import PeerCertificate, read_chain
from gateway.sources.opcua.security.pki import OwnCertificate, Pki, fault
from gateway.sources.opcua.security.trust import Expected, Refused, verify

log = structlog.get_logger("opcua")


def admit(certificate: bytes, application_uri: str, config: OpcUaDevice) -> PeerCertificate:
    """Return the server's certificate if it is trusted. Raises NotConnected.

    certificate: DER, perhaps with its chain; application_uri: what the server calls itself.
    """
    pki = Pki(config.pki)
    if not certificate:
        raise NotConnected(f"{config.url}: the server shows no certificate", security="certificate_refused")
    try:
        chain = read_chain(certificate)
    except ValueError as error:
        text = f"{config.url}: the server's certificate {error}"
        raise NotConnected(text, security="certificate_refused") from None
    host = (urlsplit(config.url).hostname or "") if config.check_host else ""
    expected = Expected(application_uri, host, config.security in SHA1, accepted(config.accept))
    try:
        try:
            although = verify(chain, pki.lists(), expected, datetime.now(UTC))
        except Refused as refused:
            if refused.unknown:
                pki.reject(chain[0])
            text = f"{config.url}: {refusal_text(refused, chain[0], config)}"
            raise NotConnected(text, security="certificate_refused") from None
    except (OSError, ValueError) as error:
        raise _unusable(error, config) from None
    for objection in although:
        log.warning("the configuration accepts a certificate although", device=config.name, objection=objection.words)
    return chain[0]


def own_certificate(config: OpcUaDevice) -> OwnCertificate:
    """Return the gateway's own certificate, made on first use. Raises NotConnected."""
    try:
        return Pki(config.pki).own(datetime.now(UTC))
    except (OSError, ValueError) as error:
        raise _unusable(error, config) from None


def refusal_text(refused: Refused, leaf: PeerCertificate, config: OpcUaDevice) -> str:
    """Return why it is refused, all of it at once, and what to do."""
    parts = [str(refused)]
    if refused.unknown:
        option = "" if config.pki == DEFAULT_FOLDER else f" --pki {config.pki}"
        parts.append(f"if it is the right one: gateway cert trust {leaf.fingerprint}{option}")
    if not refused.objections:
        return "; ".join(parts)
    wrong = "; ".join(one.words for one in refused.objections)
    parts[-1] += f" {wrong}" if not refused.unknown else f"; besides, {wrong}"
    by_certificate = groupby(sorted(refused.objections, key=lambda one: one.fingerprint), lambda one: one.fingerprint)
    entries = ", ".join(
        f"{{certificate: {fingerprint}, although: [{', '.join(dict.fromkeys(one.kind for one in found))}]}}"
        for fingerprint, found in by_certificate
    )
    return f"{'; '.join(parts)}; what cannot be mended is accepted in the device by accept: [{entries}]"


def _unusable(error: OSError | ValueError, config: OpcUaDevice) -> NotConnected:
    return NotConnected(
        f"{config.url}: certificates in {config.pki} cannot be used: {fault(error)}; pki: names another folder (on the "
        "command line --pki)"
    )
