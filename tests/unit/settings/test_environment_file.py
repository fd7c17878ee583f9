"""systemd's EnvironmentFile as systemd reads it: what its manual and its own tests (test-env-file.c) say."""

import pytest

from gateway.settings.environment_file import parse_environment_file


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a=pa$$w0rd", {"a": "pa$$w0rd"}),
        ("a=`id` $(id) ${HOME} *", {"a": "`id` $(id) ${HOME} *"}),
        ("a=a\n  b = c  \n", {"a": "a", "b": "c"}),
        ("a= two  words \t\n", {"a": "two  words"}),
        ("a=", {"a": ""}),
        ('a="b c"\nd=\'e "f"\'', {"a": "b c", "d": 'e "f"'}),
        ("a='no \\ escape $x'", {"a": "no \\ escape $x"}),
        ('a="\\"\\\\\\$\\`\\n"', {"a": '"\\$`\\n'}),
        ("a=\\$x\\ \\#", {"a": "$x #"}),
        ("a=one\\\ntwo\nb=3", {"a": "onetwo", "b": "3"}),
        ('a="one\\\ntwo"', {"a": "onetwo"}),
        ('a="one\ntwo"', {"a": "one\ntwo"}),
        ("# a=1\n; b=2\nc=3 # no comment", {"c": "3 # no comment"}),
        ("#comment \\\na=1", {"a": "1"}),
        ('a="x"y\nb=x"y"', {"a": "xy", "b": 'x"y"'}),
        ('a="x"  "y"', {"a": "xy"}),
        ("a=1\r\nb=2\r\n", {"a": "1", "b": "2"}),
        ("a=1\na=2", {"a": "2"}),
        ("a=ü€", {"a": "ü€"}),
    ],
)
def test_values_are_read_as_systemd_reads_them(text: str, values: dict[str, str]) -> None:
    found = parse_environment_file(text)
    assert found.values == values
    assert not found.ignored


def test_lines_that_systemd_ignores_are_named_without_their_values() -> None:
    found = parse_environment_file("one\nexport a=secret\n1b=secret\nc=se\x01cret\nd=4\n")
    assert found.values == {"d": "4"}
    assert [line for line, _ in found.ignored] == [1, 2, 3, 4]
    assert "secret" not in str(found.ignored)
