"""The certificates of a pki folder, as `gateway cert` shows and changes them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from gateway.core.errors import Permanent
from gateway.core.report import Note, Report
from gateway.sources.opcua.config.pki_folder import DEFAULT_FOLDER
from gateway.sources.opcua.security.certificates import fingerprint
from gateway.sources.opcua.security.peer_certificate import PeerCertificate
from gateway.sources.opcua.security.pki import Pki, fault, load_file

_FEWEST_DIGITS: Final = 8
_ROOTS_FOLDER: Final = (
    "the folder of the service is root's: sudo, with the whole path of gateway; or another folder with --pki"
)
_PLACES: Final[tuple[Literal["trusted", "issuers", "rejected"], ...]] = ("trusted", "issuers", "rejected")


class PkiStore:
    """A pki folder. Every method raises Permanent, with advice, when the folder cannot be read or written."""

    def __init__(self, folder: Path | None) -> None:
        """Take a folder as it is, without I/O. folder: None for the usual one."""
        self._is_default = folder is None
        self._pki = Pki(folder or DEFAULT_FOLDER)

    def list_peers(self) -> Report:
        """Return trusted, issuing and rejected certificates with their fingerprints."""
        with self._readable():
            found = [entry for place in _PLACES for entry in self._pki.listed(place)]
        lines = [f"{one.place:<8}  {_described(one.certificate)}" for one in found]
        if not lines:
            return Report([Note(f"no certificate of a server in {self._pki.folder}; --pki names another folder")])
        return Report(lines)

    def trust(self, what: str) -> Report:
        """Trust a certificate in a file, or a rejected one by the first eight digits or more of its fingerprint."""
        with self._readable():
            certificate = load_file(Path(what)) if Path(what).is_file() else self._by_fingerprint(what)
            target = self._pki.trust(certificate)
        trusted = f"trusted: {certificate.holder}, SHA-256 {certificate.fingerprint}, in {target}"
        lost = [Note(f"of it cannot be read: {', '.join(certificate.lost)}")] if certificate.lost else []
        return Report([trusted, *lost, Note("the server must trust this gateway as well: gateway cert show")])

    def show_own(self, *, renew: bool) -> Report:
        """Return file, application URI and fingerprints of the gateway's own certificate."""
        now = datetime.now(UTC)
        with self._readable():
            own = self._pki.renew(now) if renew else self._pki.own(now)
        lines = [f"file             {self._pki.own_path}", f"application URI  {own.application_uri}"]
        for name, certificate in (("", own.certificate), ("next ", own.next)):
            if certificate is not None:
                lines.append(f"{name + 'SHA-256':<16} {fingerprint(certificate)}")
                lines.append(f"{name + 'valid until':<16} {certificate.not_valid_after_utc:%Y-%m-%d}")
        return Report(lines)

    def _by_fingerprint(self, what: str) -> PeerCertificate:
        """Return the one certificate, rejected or trusted already, whose fingerprint begins so. Raises ValueError."""
        digits = what.replace(":", "").lower()
        matches: list[PeerCertificate] = []
        for place in ("rejected", "trusted"):
            listed = self._pki.listed(place)
            matches = matches or [one.certificate for one in listed if one.certificate.fingerprint.startswith(digits)]
        if len(digits) < _FEWEST_DIGITS or len(matches) != 1:
            found = f"fewer than {_FEWEST_DIGITS} digits" if len(digits) < _FEWEST_DIGITS else f"{len(matches)} begin so"
            raise ValueError(
                f"{what} is no file, and no fingerprint of a rejected certificate: {found} in {self._pki.folder}; "
                f"gateway cert list --pki {self._pki.folder} shows them"
            )
        return matches[0]

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except PermissionError as error:
            advice = (
                "the folder of the service is root's: sudo, with the whole path of gateway; or another folder with --pki"
            )
            raise Permanent(f"{fault(error)}; {advice}") from None
        except OSError as error:
            raise Permanent(f"{fault(error)}{'; --pki names another folder' if self._is_default else ''}") from None
        except ValueError as error:
            raise Permanent(fault(error)) from None


def _described(certificate: PeerCertificate) -> str:
    who = ", ".join(certificate.application_uris) or certificate.holder
    return f"{certificate.fingerprint}  until {certificate.readable.not_valid_after_utc:%Y-%m-%d}  {who}"
