"""Nothing that is printed is obeyed by the terminal or read as markup, whatever a peer has written into it."""

import io
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table as RichTable
from rich.text import Text

from gateway.cli import output
from gateway.cli.output import Output, describe_error, json_line, listing, progress_bars, say
from gateway.cli.reports import print_report
from gateway.core.report import Note, RawText, Report, Styled, Table, Tree

FOREIGN = "[red]x[/red] \x1b]0;title\x07 \x9b2J \u202efdp.exe\r\u2028<3>y\x85z\udc80"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def is_harmless(text: str) -> bool:
    return COLOURS.sub("", text).replace("\n", "").isprintable()


def test_a_report_is_printed_without_obeying_what_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    line = FOREIGN + "\nforged line"
    print_report(
        Report(
            [
                line,
                (line, Styled(line, "bad")),
                Note(line),
                Table((line,), [(line,), (Styled(line, "good"),)], title=line),
                Tree(line, [Tree(line)]),
                RawText("a,b\n" + FOREIGN + "\n"),
                RawText(FOREIGN + "\n", is_note=True),
            ]
        )
    )
    out, err = capsys.readouterr()
    assert is_harmless(out)
    assert is_harmless(err)
    assert "forged line" in out
    assert not re.search(r"^forged", out, re.MULTILINE), "it begins no line of its own"
    assert out.count("[red]x[/red]") >= 6, "markup is text"


@pytest.mark.parametrize("terminal", [True, False])
def test_a_console_itself_lets_nothing_through(terminal: bool) -> None:
    stream = io.StringIO()
    console = Output()
    console.file, console._force_terminal = stream, terminal  # type: ignore[attr-defined]
    table = listing(FOREIGN)
    table.add_row(FOREIGN)
    for shown in (FOREIGN, Text(FOREIGN), table, RichTable(FOREIGN, title=FOREIGN)):
        console.print(shown)
    with progress_bars(console) as bars:
        bars.add_task(FOREIGN)
    written = re.sub(r"\x1b\[[0-9;?]*[mKAhl]|\r", "", stream.getvalue()) if terminal else stream.getvalue()
    assert is_harmless(written)
    assert "[red]x[/red]" in written


def test_lines_that_are_said_are_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"one {FOREIGN}")
    say(describe_error(OSError(2, "No such file", f"x\n{FOREIGN}")), err=True)
    out, err = capsys.readouterr()
    assert is_harmless(out)
    assert is_harmless(err)
    assert out.count("\n") == err.count("\n") == 1


@given(
    st.recursive(
        st.text() | st.integers(-(2**63), 2**63 - 1) | st.none(),
        lambda x: st.lists(x, max_size=4) | st.dictionaries(st.text(max_size=9), x, max_size=4),
        max_leaves=12,
    )
)
def test_json_means_the_same_and_is_printable(value: object) -> None:
    line = json_line(value)
    assert json.loads(line) == value
    assert line.endswith(b"\n")
    assert line[:-1].decode().isprintable()


def test_what_is_waited_for_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Output, "is_terminal", True)
    shown: list[object] = []
    status = Output.status
    monkeypatch.setattr(Output, "status", lambda self, text: shown.append(text) or status(self, text))
    with output.waiting_for("reading [red]x[/red]"):
        pass
    assert shown == [Text("reading [red]x[/red]")]
