"""The folder with the gateway's own certificate and its trust lists, in the usual layout (OPC UA Part 12, 7.8).

    own/private/key.pem     own/certs/gateway.der, next.der
    trusted/certs           servers and authorities that are trusted
    trusted/crl             their revocation lists
    issuers/certs, crl      authorities that only complete a chain
    rejected                servers that were refused, for `gateway cert trust`

Everything here is file I/O: call it on a thread. Raises OSError, and ValueError for a file that is no certificate.
"""

import contextlib
import errno
import heapq
import os
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.sources.opcua.security.certificates import application_uris, der, make_certificate, make_key
from gateway.sources.opcua.security.path import TrustLists
from gateway.sources.opcua.security.peer_certificate import PeerCertificate, read_certificate

NEXT_MADE: Final = timedelta(days=60)
"""The next certificate lies ready this long before the present one ends, so that servers can be told."""
NEXT_USED: Final = timedelta(days=7)
MOST_REJECTED: Final = 100
_MOST_BYTES: Final = 4 * 1024 * 1024
"""Of a file: a revocation list with 100,000 entries has 3.2 MB, and its signature takes 33 ms."""
_MOST_FILES: Final = 1_000
"""In a folder of certificates or of revocation lists."""
_MOST_LISTS: Final = 1_000
_MOST_LIST_BYTES: Final = 16 * 1024 * 1024
"""Of all revocation lists: they are in memory while a server's certificate is judged."""
_CRL: Final = re.compile(rb"-----BEGIN X509 CRL-----[^-]*-----END X509 CRL-----")
_SUFFIXES: Final = frozenset({".der", ".pem", ".crt", ".cer"})
_LOCK: Final = threading.Lock()
"""Many sources start at once, and only one may make the key."""


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """The gateway's own certificate and key. next: the one that follows, once it has been made."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey
    application_uri: str
    next: x509.Certificate | None = None


@dataclass(frozen=True, slots=True)
class CertificateFile:
    """A certificate file. place: `own`, `trusted`, `issuers` or `rejected`."""

    place: str
    path: Path
    certificate: PeerCertificate


class Pki:
    """One PKI folder; built without I/O."""

    def __init__(self, folder: str | Path, *, most_rejected: int = MOST_REJECTED) -> None:
        """most_rejected: refused certificates that are kept."""
        self.folder = Path(folder)
        self._most_rejected = most_rejected
        self._key = self.folder / "own" / "private" / "key.pem"
        self.own_path = self.folder / "own" / "certs" / "gateway.der"
        self._next = self.folder / "own" / "certs" / "next.der"

    def own(self, now: datetime) -> OwnCertificate:
        """Return the certificate to show, made on first use and renewed before it expires; key and application URI stay."""
        with _LOCK:
            key = self._load_or_make_key()
            current = self._load_own(self.own_path, key)
            if current is None:
                current = self._make(self.own_path, key, f"urn:{socket.gethostname()}:gateway", now)
            uri = application_uris(current)[0]
            following = self._load_own(self._next, key)
            if following is None and current.not_valid_after_utc - now < NEXT_MADE:
                following = self._make(self._next, key, uri, now)
            if following is not None and current.not_valid_after_utc - now < NEXT_USED:
                os.replace(self._next, self.own_path)
                current, following = following, None
            return OwnCertificate(current, key, uri, following)

    def renew(self, now: datetime) -> OwnCertificate:
        """Replace the own certificate now; key and application URI stay."""
        own = self.own(now)
        with _LOCK:
            self._make(self.own_path, own.key, own.application_uri, now)
            self._next.unlink(missing_ok=True)
        return self.own(now)

    def lists(self) -> TrustLists:
        """Read the trust lists. Files are read anew at each call."""
        certificates = {place: [entry.certificate for entry in self.listed(place)] for place in ("trusted", "issuers")}
        return TrustLists(certificates["trusted"], certificates["issuers"], self._revocation_lists())

    def listed(self, place: str) -> list[CertificateFile]:
        """Return the certificates of one place, by file name."""
        folder = self.folder / place
        folder = folder if place == "rejected" else folder / "certs"
        paths = [p for p in _files(folder) if p.suffix.lower() in _SUFFIXES]
        return [CertificateFile(place, path, load_file(path)) for path in paths]

    def reject(self, certificate: PeerCertificate) -> None:
        """Keep a refused certificate; of too many the oldest goes."""
        path = self.folder / "rejected" / f"{certificate.fingerprint}.der"
        if not path.exists():
            _write(path, certificate.der, 0o644)
        newest: list[tuple[int, str]] = []
        with os.scandir(path.parent) as entries:  # however many somebody has put there
            for entry in entries:
                if not entry.name.endswith(".der"):
                    continue
                heapq.heappush(newest, (entry.stat(follow_symlinks=False).st_mtime_ns, entry.name))
                if len(newest) > self._most_rejected:
                    (path.parent / heapq.heappop(newest)[1]).unlink(missing_ok=True)

    def trust(self, certificate: PeerCertificate) -> Path:
        """Put a certificate among the trusted and take it from the rejected. Returns its file."""
        name = f"{certificate.fingerprint}.der"
        path = self.folder / "trusted" / "certs" / name
        _write(path, certificate.der, 0o644)
        (self.folder / "rejected" / name).unlink(missing_ok=True)
        return path

    def _revocation_lists(self) -> list[x509.CertificateRevocationList]:
        paths = [path for place in ("trusted", "issuers") for path in _files(self.folder / place / "crl") if path.is_file()]
        sizes = {path: path.stat().st_size for path in paths}
        if (size := sum(sizes.values())) > _MOST_LIST_BYTES:
            largest = max(sizes, key=lambda path: sizes[path])
            words = f"the revocation lists have {size} bytes, more than {_MOST_LIST_BYTES}; the largest is {largest}"
            raise ValueError(words)
        found = list(islice((crl for path in paths for crl in _load_crls(path)), _MOST_LISTS + 1))
        if len(found) > _MOST_LISTS:
            raise ValueError(f"{self.folder} holds more than {_MOST_LISTS} revocation lists")
        return found

    def _load_or_make_key(self) -> rsa.RSAPrivateKey:
        if not self._key.exists():
            plain = serialization.NoEncryption()
            content = make_key().private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
            _write(self._key, content, 0o600, replace=False)
        try:
            key = serialization.load_pem_private_key(_content(self._key), None)
        except (ValueError, TypeError):  # TypeError: a pass phrase is missing
            raise ValueError(f"{self._key} holds no private key in PEM format without a pass phrase") from None
        if not isinstance(key, rsa.RSAPrivateKey):
            raise ValueError(f"{self._key} holds no RSA key")
        return key

    def _load_own(self, path: Path, key: rsa.RSAPrivateKey) -> x509.Certificate | None:
        if not path.exists():
            return None
        certificate = load_file(path).readable
        if certificate.public_key() != key.public_key() or not application_uris(certificate):
            raise ValueError(f"{path} does not belong to {self._key} or names no application URI")
        return certificate

    def _make(self, path: Path, key: rsa.RSAPrivateKey, uri: str, now: datetime) -> x509.Certificate:
        certificate = make_certificate(key, uri, socket.gethostname(), now)
        _write(path, der(certificate), 0o644)
        return certificate


def fault(error: OSError | ValueError) -> str:
    """Return what is wrong with the folder, as a text for people."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def load_file(path: Path) -> PeerCertificate:
    """Load a certificate in PEM or DER. Raises OSError, ValueError."""
    try:
        return read_certificate(_content(path))
    except ValueError as error:
        raise ValueError(f"{path} {error}; expected X.509, PEM or DER") from None


def _files(folder: Path) -> list[Path]:
    """Return what is in a folder, by name; nothing where there is none. Raises ValueError where that is too much."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in islice(entries, _MOST_FILES + 1)]
    except FileNotFoundError:
        return []
    if len(names) > _MOST_FILES:
        raise ValueError(f"{folder} holds more than {_MOST_FILES} files: remove those that are not needed")
    return [folder / name for name in sorted(names)]


def _load_crls(path: Path) -> Iterator[x509.CertificateRevocationList]:
    """Yield all revocation lists of a file; in PEM there may be several."""
    try:
        content = _content(path)
        if b"-----BEGIN" not in content:
            yield x509.load_der_x509_crl(content)
            return
        is_empty = True
        for block in _CRL.finditer(content):
            is_empty = False
            yield x509.load_pem_x509_crl(block[0])
        if is_empty:
            raise ValueError
    except ValueError:  # whose words are those of a parser
        raise ValueError(f"{path} is not a certificate revocation list; expected X.509, PEM or DER") from None


def _content(path: Path) -> bytes:
    if path.exists() and not path.is_file():  # a pipe would keep us waiting for ever, a device would never end
        raise OSError(errno.EINVAL, "no regular file", str(path))
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ValueError(f"is longer than {_MOST_BYTES} bytes")
    return content


def _write(path: Path, content: bytes, mode: int, *, replace: bool = True) -> None:
    """Whole or not at all. With replace=False an existing file stays (another process was first)."""
    _make_folder(path.parent)
    partial = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _give(partial)
        if replace:
            os.replace(partial, path)
        else:
            with contextlib.suppress(FileExistsError):
                os.link(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _make_folder(folder: Path) -> None:
    if not folder.exists():
        _make_folder(folder.parent)
        folder.mkdir(mode=0o755, exist_ok=True)
        _give(folder)


def _give(path: Path) -> None:
    """Give a file made by root to the owner of its folder, because the service must read it."""
    if os.geteuid() == 0:
        around = path.parent.stat()
        os.chown(path, around.st_uid, around.st_gid)
