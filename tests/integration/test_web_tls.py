"""TLS before the page: a certificate that browsers see, and client certificates that are asked for."""

import datetime
import ssl
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.web_client import serving
from tests.support.web_view import fake_plant


def _own_certificate(folder: Path, name: str) -> dict[str, str]:
    """A certificate that has signed itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return {"cert": str(folder / f"{name}.pem"), "key": str(folder / f"{name}.key")}


async def test_it_is_served_with_tls(tmp_path: Path) -> None:
    async with serving(fake_plant().view(), tmp_path, tls=_own_certificate(tmp_path, "gateway")) as served:
        assert served.url.startswith("https://")
        assert (await served.get("/api/v1/status"))[0] == 200


async def test_only_clients_with_a_certificate_are_let_in(tmp_path: Path) -> None:
    tls = _own_certificate(tmp_path, "gateway")
    operator = _own_certificate(tmp_path, "operator")
    async with serving(fake_plant().view(), tmp_path, tls={**tls, "client_ca": operator["cert"]}) as served:
        with pytest.raises(aiohttp.ClientError):
            await served.get("/api/v1/status")
        context = ssl.create_default_context(cafile=tls["cert"])
        context.check_hostname = False
        context.load_cert_chain(operator["cert"], operator["key"])
        async with served.http.get(served.url + "/api/v1/status", ssl=context) as response:
            assert response.status == 200
