"""Files encrypted with age (age-encryption.org/v1), opened with pyrage, which the extra `age` brings."""

from typing import Final

_WITHOUT_PYRAGE: Final = "the package pyrage is missing: install the gateway with its extra age (pip install .[age])"


def decrypt_age(content: bytes, identity_file: bytes) -> bytes:
    """Return what an age file holds. identity_file: lines AGE-SECRET-KEY-1..., and comments. Raises ValueError."""
    try:
        import pyrage
    except ImportError:
        raise ValueError(_WITHOUT_PYRAGE) from None
    lines = identity_file.decode("ascii", errors="replace").splitlines()
    try:
        identities = [pyrage.x25519.Identity.from_str(line.strip()) for line in lines if line.startswith("AGE-SECRET-KEY-")]
    except pyrage.IdentityError:
        raise ValueError("the identity is not valid") from None
    if not identities:
        raise ValueError("the file of the identity has no line AGE-SECRET-KEY-1...")
    try:
        return bytes(pyrage.decrypt(content, identities))
    except pyrage.DecryptError as error:
        raise ValueError(str(error)) from None
