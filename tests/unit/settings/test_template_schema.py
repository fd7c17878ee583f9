"""The JSON Schema of templates fits those that are shipped, and finds what is wrong in one."""

import jsonschema
import pytest
import yaml

from gateway.settings.template_schema import template_schema
from gateway.settings.templates import SHIPPED, shipped_templates

NAMES = [name for name, _ in shipped_templates()]
VALIDATOR = jsonschema.Draft202012Validator(template_schema())


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_template_names_it_and_fits(name: str) -> None:
    written = (SHIPPED / name).read_text()
    assert written.startswith("# yaml-language-server: $schema=../template.schema.json\n")
    assert not [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(written))]


@pytest.mark.parametrize(
    ("template", "is_right"),
    [
        (
            {"protocol": "modbus", "parameters": {"prefix": None, "rate": 5}, "interval": "${rate}", "unit_id": "${unit}"},
            True,
        ),
        ({"protocol": "modbus", "tags": [{"name": "${prefix}_oil", "address": "holding:0", "scale": "${scale}"}]}, True),
        ({"protocol": "modbus", "tags": [{"name": "oil", "adress": "holding:0"}]}, False),
        ({"protocol": "modbus", "intervall": "1s"}, False),
        ({"protocol": "modem"}, False),
        ({"tags": []}, False),
    ],
)
def test_what_fits(template: dict[str, object], is_right: bool) -> None:
    assert VALIDATOR.is_valid(template) == is_right
