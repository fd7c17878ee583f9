"""RSA keys for tests: made of fixed primes, since searching for a key of 2048 bits takes a random time of up to a second.

They are known to everybody, and protect nothing.
"""

from itertools import combinations
from math import lcm
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa

_EXPONENT: Final = 65537
_PRIMES: Final = tuple(
    int(digits, 16)
    for digits in (
        "c4f264d598d148fdeecde41c64ff5437358cc7d0abfe22441d14f306125f0a1a0659f4a65156a2f39fc8a735712b50ffae31"
        "4ec6d7b5b846a0140edd03dc4266d4d33c74bef0ea9d61d4b9c7ff39531ea64f4ba53174a79c887caa3cdb9c63c7b987b3e3"
        "c4685707ed8caf39a3dab618f24a82fd6c0500476a00b87334805c9b",
        "cfaa674888a060b85a92b56add10fd07e9b12f0d75e4a57855c93b6fe7ab6d9e2a3fdf56bb5d856ab10db21182dd3cdf6531"
        "71c8fbaf19b4cc00054f5c47a720b2c1049c75d2300bd47ae4e44dd160d8a0ff43800dac19a17cfef934981c297ecd787397"
        "c6e686ea393f9fec78790524a61e038f19dd3407b1c17d3fec2c4721",
        "e8822b19b2b5f24220d3f9f144762ceaabc91d6620d9f47dbdb63afb43d9568d9b7a1c87e93777ea12ec0e52a00931547e45"
        "6b3adf3a54a49f24ca4a6aa0a56fab620a27bea50bf5a04e290daecf7cae801207216780566706b89fd744c55eae28eb50c4"
        "dbddc5a680f386ce89f846f4778b6f0d19c25317a4fd5a6cab13d459",
        "ecdf2dbdddd7cc263d7f95f467f7cbe8e129417185c42f6559405a84951e502e28988f4636da3fdc0dca97954fc065475d85"
        "bdb96559e3470802d8819c5e4ca725a9738c87f472b787ee6990a7bd9430fcbfc2f77c2c382f43f0f9d141a708f5bdaf2f52"
        "6fffb5d81241331bbad7ec211edc655fadbd83a327a18b6ec5ca6eb5",
    )
)
_SMALL_PRIMES: Final = tuple(
    int(digits, 16)
    for digits in (
        "d7daad8311508bbfcc8cdb916829292f9848c99c188b3cc57ffe43a64268a0a1553af9322470dac76d629b0e94c5539d0c8c"
        "75e06e229853143f6d81137ef791",
        "d3371a6d94c4a127df2f9d2b77fbedeca4fbd7828215b108d107bdc61a217f6d4ce173b18bffa40e5ae138cc14e061c1d091"
        "0d2f7e8bac182d9d1a55d9fb5e21",
    )
)


def _key(p: int, q: int) -> rsa.RSAPrivateKey:
    d = pow(_EXPONENT, -1, lcm(p - 1, q - 1))
    public = rsa.RSAPublicNumbers(_EXPONENT, p * q)
    numbers = rsa.RSAPrivateNumbers(p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q), public)
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)  # it would prove again that both are prime


RSA_KEYS: Final = [_key(p, q) for p, q in combinations(_PRIMES, 2)]
"""Six different keys of 2048 bits."""
SMALL_RSA_KEY: Final = _key(*_SMALL_PRIMES)
"""A key of 1024 bits, for what does not depend on its length: it is loaded from a file four times as fast."""
