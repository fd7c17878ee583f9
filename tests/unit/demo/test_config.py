"""The configuration that users copy."""

import json

import jsonschema
import yaml

from gateway.demo.plant import PressLine
from gateway.demo.scene import shipped_config
from gateway.settings import load, schema


def test_shipped_config_loads_without_a_warning():
    settings = load(shipped_config())
    assert settings.table.devices == ("line", "press")
    assert not settings.warnings


def test_the_plant_has_a_value_for_every_tag_and_no_other():
    table = load(shipped_config()).table
    assert {table.label(tag.id) for tag in table.tags} == set(PressLine(1).at(0.0))


def test_every_tag_of_the_press_says_what_it_is():
    entry = next(e for e in load(shipped_config()).entries if e.config.name == "press")
    assert all(tag.description for tag in entry.tags)


def test_files_agree_with_the_published_schema():
    folder, whole = shipped_config(), json.loads(json.dumps(schema()))
    jsonschema.validate(yaml.safe_load((folder / "gateway.yaml").read_text()), whole)
    device = jsonschema.Draft202012Validator(
        {"$defs": whole["$defs"], "$ref": "#/$defs/DeviceFile"}
    )  # checked with the whole
    for file in (folder / "devices").iterdir():
        device.validate(yaml.safe_load(file.read_text()))
