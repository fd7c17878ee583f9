"""A real broker for tests: mosquitto as a child process, on one port of loopback for its whole life."""

import asyncio
import datetime
import ipaddress
import signal
import subprocess
import weakref
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.support.network import free_port


class Mosquitto:
    """`start` as often as needed: the port stays, and with `persistent` what the broker has stored."""

    def __init__(self, binary: str, folder: Path, *, persistent: bool = False) -> None:
        """binary: the path of mosquitto; folder: an empty directory for its files."""
        self._binary = binary
        self._folder = folder
        self._persistent = persistent
        self._lines: tuple[str, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"

    async def start(self, *lines: str) -> None:
        """Run it and return when it listens. lines: more of mosquitto.conf(5), kept for later starts."""
        self._lines = lines or self._lines
        listener = [f"listener {self.port} 127.0.0.1", *self._lines]
        if not any(line.startswith("allow_anonymous") for line in listener):
            listener.append("allow_anonymous true")
        store = [f"persistence_location {self._folder}/", "autosave_interval 1"] if self._persistent else []
        general = [f"persistence {str(self._persistent).lower()}", *store, "user root"]
        config = self._folder / "mosquitto.conf"
        config.write_text("\n".join([*general, *listener]) + "\n")
        with (self._folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen([self._binary, "-v", "-c", str(config)], stdout=log, stderr=log)
        weakref.finalize(self, self._process.kill)  # a test that fails leaves no broker behind
        async with asyncio.timeout(10):
            while not await self._listens():
                assert self._process.poll() is None, self.log()
                await asyncio.sleep(0.02)

    @property
    def running(self) -> bool:
        """Whether it was started and not ended since."""
        return self._process is not None

    def log(self) -> str:
        """What it has said so far."""
        return (self._folder / "mosquitto.log").read_text(errors="replace")

    def stop(self) -> None:
        """End it politely (SIGTERM): it saves its store."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Freeze it: its sockets stay open and nothing answers (half-open)."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End a pause."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait(10)
            self._process = None

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True


def password_lines(binary: str, folder: Path, username: str, password: str) -> list[str]:
    """Configuration lines that let in `username` with `password` and nobody else."""
    tool = Path(binary).with_name("mosquitto_passwd")
    tool = tool if tool.exists() else Path("/usr/bin/mosquitto_passwd")
    path = folder / "passwords"
    subprocess.run([tool, "-b", "-c", path, username, password], check=True, capture_output=True)
    return ["allow_anonymous false", f"password_file {path}"]


class Authority:
    """A private CA that issues certificates into a folder."""

    def __init__(self, folder: Path, name: str = "test CA", above: "Authority | None" = None) -> None:
        """above: the authority that signs this one, instead of itself."""
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.issued: dict[str, x509.Certificate] = {}
        """By name."""
        signer = above or self
        builder = signer._builder(self._name, self._key).add_extension(x509.BasicConstraints(True, None), critical=True)
        self.own = builder.sign(signer._key, hashes.SHA256())
        signer.issued[name] = self.own
        self._chain = b"" if above is None else self.own.public_bytes(serialization.Encoding.PEM)
        self.certificate = folder / f"{name.replace(' ', '-')}.pem"
        self.certificate.write_bytes(self.own.public_bytes(serialization.Encoding.PEM))

    def below(self, name: str) -> "Authority":
        """An authority that this one vouches for."""
        return Authority(self._folder, name, self)

    def revoke(self, names: Sequence[str], path: Path, *, age: datetime.timedelta = datetime.timedelta()) -> Path:
        """A revocation list of one day, made `age` ago, into a PEM file. Returns its path."""
        made = datetime.datetime.now(datetime.UTC) - age - datetime.timedelta(minutes=1)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._name).last_update(made)
        builder = builder.next_update(made + datetime.timedelta(days=1))
        for name in names:
            entry = x509.RevokedCertificateBuilder().serial_number(self.issued[name].serial_number).revocation_date(made)
            builder = builder.add_revoked_certificate(entry.build())
        path.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return path

    def ocsp(
        self,
        name: str,
        *,
        revoked: bool = False,
        made: datetime.datetime | None = None,
        signer: "Authority | None" = None,
        responder: bool = False,
        usage: bool = True,
    ) -> bytes:
        """What a responder says of a certificate, for a day from `made` on.

        signer: who signs in place of this authority; responder: a responder of its own signs; usage: one that may.
        """
        made = made or datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=1)
        status = ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD
        key, certificate, shown = (signer or self)._key, (signer or self).own, []
        if responder:
            key = ec.generate_private_key(ec.SECP256R1())
            builder = self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "responder")]), key)
            if usage:
                builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), critical=False)
            certificate = builder.sign(self._key, hashes.SHA256())
            shown = [certificate]
        answer = ocsp.OCSPResponseBuilder().add_response(
            cert=self.issued[name],
            issuer=self.own,
            algorithm=hashes.SHA1(),
            cert_status=status,
            this_update=made,
            next_update=made + datetime.timedelta(days=1),
            revocation_time=made if revoked else None,
            revocation_reason=None,
        )
        answer = answer.responder_id(ocsp.OCSPResponderEncoding.HASH, certificate)
        answer = answer.certificates(shown) if shown else answer
        return answer.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    def issue(self, name: str, *, days: int = 1) -> tuple[Path, Path]:
        """A certificate for a host name or address, and its key, as PEM files. days: validity, negative is expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        try:
            alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            alternative = x509.DNSName(name)
        builder = self._builder(subject, key, days).add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        certificate, private = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        self.issued[name] = builder.sign(self._key, hashes.SHA256())
        certificate.write_bytes(self.issued[name].public_bytes(serialization.Encoding.PEM) + self._chain)
        private.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        return certificate, private

    def tls_lines(self, name: str = "127.0.0.1", *, days: int = 1, client: bool = False) -> list[str]:
        """Configuration lines for TLS with a certificate for `name`; client: it asks for one of the client as well."""
        certificate, key = self.issue(name, days=days)
        lines = [f"certfile {certificate}", f"keyfile {key}"]
        return [*lines, f"cafile {self.certificate}", "require_certificate true"] if client else lines

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, days: int = 1) -> x509.CertificateBuilder:
        now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
        end = now + days * day
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(now, end) - day)
            .not_valid_after(end)
        )
