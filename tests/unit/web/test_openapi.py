"""The OpenAPI document."""

from openapi_spec_validator import validate

from gateway.web.api import Api
from gateway.web.openapi import OPERATIONS, document


def test_the_document_is_valid_and_names_every_answer() -> None:
    found = document("1.0")
    validate(found)
    assert set(found["paths"]) == {"/api/v1/raw", *(f"/api/v1/{one.name}" for one in OPERATIONS)}
    assert all(callable(getattr(Api, one.name)) for one in OPERATIONS)
