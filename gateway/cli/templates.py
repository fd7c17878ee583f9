"""`gateway templates`: the templates that come with the gateway, and those of a configuration folder."""

from pathlib import Path

from gateway.cli.output import Output, listing, say
from gateway.cli.reports import run_command
from gateway.core.errors import UsageError
from gateway.core.foreign_text import clean
from gateway.core.nearest import nearest
from gateway.core.report import RawText, Report
from gateway.settings.templates import SHIPPED, find_template, own_templates, shipped_templates

_LONGEST_LINE = 120


def list_templates(folder: Path) -> int:
    """Print name and first line of every template; those of the folder go before shipped ones of their names."""
    own = dict(own_templates(folder))
    table = listing("template", "for")
    for name, about in sorted((dict(shipped_templates()) | own).items()):
        mark = f" (in {folder / 'templates'})" if name in own else ""
        table.add_row(clean(name), clean(about, _LONGEST_LINE) + clean(mark, _LONGEST_LINE))
    Output().print_unfolded(table)
    say("use: template: NAME in a device file, or gateway add; see: gateway templates show NAME", err=True)
    return 0


def show_template(folder: Path, name: str) -> int:
    """Print a template. Returns the exit code."""

    def show() -> Report:
        path = find_template(folder, name) or find_template(folder, f"{name}.yaml")
        if path is None:
            known = dict(own_templates(folder)) | dict(shipped_templates())
            close = nearest(name, known)
            raise UsageError(
                f"{name!r} is no template{f'; expected {close}?' if close else ''}: gateway templates lists them"
            )
        return Report([RawText(path.read_text("utf-8", errors="replace"))])

    return run_command(show, SHIPPED)
