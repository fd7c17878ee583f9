"""A device file for a unit that was scanned: `gateway add`."""

from typing import Final

from gateway.core.errors import NotConnected
from gateway.core.ports.device_tools import Draft, Options, Progress
from gateway.core.report import Note
from gateway.sources.modbus.tools.scan import ModbusScan

_MOST_TAGS: Final = 100


async def draft_device(url: str, options: Options, progress: Progress) -> Draft:
    """Scan for units and return a tag for each register and bit that the first of them has.

    Raises UsageError, and NotConnected where no unit answers.
    """
    unit = options["unit"]
    scan = ModbusScan(url, {**options, "first": unit, "last": unit})
    progress.show(Note(scan.introduction))
    await scan.run(progress)
    report = scan.report()
    if not scan.found:
        raise NotConnected(f"no unit answered at {url}: give its number with --unit, or look with gateway scan")
    unit, tables = next(iter(scan.found.items()))
    lines = ["name,address,type"]
    for table, ranges in tables.items():
        kind = "bool" if table in ("coil", "discrete") else "uint16"
        lines += [f"{table}_{at},{table}:{at},{kind}" for first, last in ranges for at in range(first, last + 1)]
    if len(lines) == 1:
        raise NotConnected(f"unit {unit} at {url} answers, but no address up to {options['until']} can be read")
    cut = lines[: _MOST_TAGS + 1]
    items = list(report.items)
    if len(lines) > len(cut):
        items.append(Note(f"{len(lines) - 1} addresses can be read; the first {_MOST_TAGS} become tags"))
    items.append(Note("what the numbers mean is in the maker's register list: give the tags names, types, scales and units"))
    return Draft({"unit": unit}, "\n".join(cut) + "\n", items)
