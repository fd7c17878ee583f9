"""`gateway log-level`: what a running gateway logs."""

from pathlib import Path

from gateway.cli.api_client import NoAnswer, find_gateway
from gateway.cli.output import listing, say
from gateway.cli.terminal import console

EXIT_NO_GATEWAY = 2


def log_level(folder: Path, socket: Path | None, part: str, level: str) -> int:
    """Print the levels of a running gateway, after changing one where `level` is given. Returns the exit code."""
    try:
        client = find_gateway(folder, socket)
        if level:
            levels = client.change("log-level", part=part, level=level)["log_levels"]
        else:
            levels = client.get("status")["log_levels"]
    except NoAnswer as error:
        say(str(error), err=True)
        return EXIT_NO_GATEWAY
    table = listing("part", "level")
    for name, shown in levels.items():
        if level or not part or name == part:
            table.add_row(name, shown)
    if part and not level and part not in levels:
        table.add_row(part, f"{levels['all']} (as all)")
    console().print(table)
    return 0
