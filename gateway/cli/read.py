"""`gateway read`: one test read, of tags as configured or by address."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from gateway.cli.interrupt import run_async
from gateway.cli.needed import load_needed
from gateway.cli.reports import is_url, plugin_for_url, plugin_of, run_command
from gateway.core.blocks import SampleBlock
from gateway.core.errors import UsageError
from gateway.core.formula.tag import FormulaTag
from gateway.core.nearest import nearest
from gateway.core.ports.device_tools import Identifiable, Options, Readable
from gateway.core.quality import REASONS, Quality
from gateway.core.report import Part, Report, Styled, Table
from gateway.core.tags import Tag
from gateway.settings import Settings
from gateway.stages.formulas import Formulas

_MOST_MISSING: Final = 10
"""For so many wrong names others are suggested."""


def read_url(url: str, names: Sequence[str], options: Options) -> int:
    """Read from a device that is not configured; returns the exit code."""
    return run_command(lambda: run_async(plugin_for_url(url, Readable, "read").read_url(url, names, options)))


def identify(folder: Path, where: str, options: Options) -> int:
    """Show what a device, or whoever is at a URL, says of itself; returns the exit code."""

    def ask() -> Report:
        if is_url(where):
            return run_async(plugin_for_url(where, Identifiable, "identified").identify(where, options))
        plugin, entry = plugin_of(load_needed(folder, where), where, Identifiable, "identified")
        return run_async(plugin.identify(entry.config, options))

    return run_command(ask, folder)


def read_tags(folder: Path, device: str, names: Sequence[str], timeout_s: float | None) -> int:
    """Read tags of a configured device, all without names; returns the exit code.

    Computed tags are computed from one read of their operands, which are shown as well.
    """

    def read() -> Report:
        settings = load_needed(folder, device)
        plugin, entry = plugin_of(settings, device, Readable, "read")
        first, end = settings.table.range_of(entry.number)
        tags = settings.table.tags[first:end]
        _check_names(device, names, [tag.name for tag in tags])
        formulas = [one for one in settings.formulas if first <= one.tag < end]
        formulas = [one for one in formulas if not names or tags[one.tag - first].name in names]
        wanted = {tag.id for tag in tags if not names or tag.name in names}
        wanted.update(operand for formula in formulas for operand in formula.operands)
        models = [model for place, model in enumerate(entry.tags) if entry.first_tag + place in wanted]
        report = run_async(plugin.read_tags(entry.config, models, timeout_s))
        return _with_computed(report, settings, tags, formulas) if formulas else report

    return run_command(read, folder)


def _check_names(device: str, names: Sequence[str], known: Sequence[str]) -> None:
    if missing := sorted(set(names) - set(known)):
        close = sorted({near for name in missing[:_MOST_MISSING] if (near := nearest(name, known))})
        hint = f"; there is {', '.join(close)}" if close else ""
        raise UsageError(f"{device} has no tag {', '.join(missing)}{hint}")


def _with_computed(report: Report, settings: Settings, tags: Sequence[Tag], formulas: Sequence[FormulaTag]) -> Report:
    """Return the report with a table of the tags that are computed, as `run` computes them from one poll."""
    ids = {tag.name: tag.id for tag in tags}
    used = {operand for formula in formulas for operand in formula.operands}
    read = sorted((ids[name], *number) for name, number in report.numbers.items() if ids.get(name) in used)
    column = np.array([tag for tag, _, _ in read], np.uint32)
    values = np.array([value for _, value, _ in read], np.float64)
    codes = np.array([code for _, _, code in read], np.uint8)
    block = SampleBlock(column, np.zeros(column.size, np.int64), values, codes, cycle=0)
    found = {
        int(tag): (float(value), int(code))
        for computed in Formulas(settings.table, formulas).push(block)
        for tag, value, code in zip(computed.tag, computed.value, computed.quality, strict=True)
    }
    names = {tag.id: tag.name for tag in tags}
    rows: list[Sequence[Part]] = []
    for formula in formulas:
        tag = settings.table.tags[formula.tag]
        value, code = found.get(formula.tag, (np.nan, int(Quality.BAD)))
        lacking = [names[operand] for operand in formula.operands if names[operand] not in report.numbers]
        quality: Part = "good" if code >= Quality.GOOD else Styled(REASONS[code], "warning")
        if lacking:
            quality = Styled(f"without {', '.join(lacking)}", "bad")
        shown = "" if np.isnan(value) else f"{value:.15g} {tag.unit}".strip()
        rows.append((tag.name, shown, quality))
    table = Table(("tag", "value", "quality"), rows, title="computed from these")
    return Report([*report.items, table], report.is_complete, report.numbers)
