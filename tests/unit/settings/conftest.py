"""Every test starts without variables of the gateway's own."""

import os

import pytest


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("GATEWAY__"):
            monkeypatch.delenv(name)
