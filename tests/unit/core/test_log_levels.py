"""What is logged may change while it runs."""

import re
from pathlib import Path

import pytest

import gateway
from gateway.cli.logs import PARTS
from gateway.core.events.kinds import CORE_EVENTS
from gateway.core.log_levels import LEVELS, LogLevels


def test_a_part_all_parts_and_libraries() -> None:
    levels = LogLevels()
    levels.begin("info", PARTS)
    assert not levels.wants("gateway.opcua", LEVELS["debug"])
    levels.set("opcua", "debug")
    assert levels.wants("gateway.opcua", LEVELS["debug"])
    assert not levels.wants("gateway.web", LEVELS["debug"])
    levels.set("web", "error")
    assert not levels.wants("gateway.web", LEVELS["warning"])
    assert levels.shown() == {"all": "info", "libraries": "warning", "opcua": "debug", "web": "error"}
    levels.set("all", "warning")
    assert levels.shown() == {"all": "warning", "libraries": "warning"}


@pytest.mark.parametrize(("part", "level", "text"), [("modem", "info", "is no part"), ("web", "loud", "is no level")])
def test_what_is_not_known_is_said(part: str, level: str, text: str) -> None:
    levels = LogLevels()
    levels.begin("info", PARTS)
    with pytest.raises(ValueError, match=f"{text}; expected"):
        levels.set(part, level)


def test_every_logger_is_a_part() -> None:
    files = Path(gateway.__file__).parent.rglob("*.py")
    found = {name for file in files for name in re.findall(r'get_logger\("([a-z_]+)"\)', file.read_text())}
    assert found | {event.log_name for event in CORE_EVENTS} == set(PARTS)
