"""Files of revocation lists (RFC 5280, 5) in PEM format. Pure."""


def is_pem_of_lists(content: bytes) -> bool:
    """Return whether a file holds revocation lists and nothing else.

    OpenSSL takes them from the same call as authorities: a certificate among them would become a trusted one.
    """
    return b"-----BEGIN X509 CRL-----" in content and b"CERTIFICATE-----" not in content
