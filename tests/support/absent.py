"""What a test needs beside Python, and what happens where it is not there."""

import os
from typing import NoReturn

import pytest

NODE_PACKAGES = "node and `npm ci` in tests/node (make test does it)"


def absent(what: str) -> NoReturn:
    """The test cannot run: skipped at home, an error in CI."""
    if os.environ.get("CI"):
        pytest.fail(f"CI must have {what}")
    pytest.skip(f"needs {what}")
