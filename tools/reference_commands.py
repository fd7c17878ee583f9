"""The pages of the commands: what `--help` says, as tables."""

from typing import Any


def commands_pages(note: str) -> dict[str, str]:
    """Return docs/reference/commands.md and a page for each group of commands, by file name."""
    import typer

    from gateway.cli.main import app

    group: Any = typer.main.get_command(app)
    parts = ["# Reference: commands", note, "What `gateway COMMAND --help` says, in one place."]
    made: dict[str, str] = {}
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            parts.append(f"## gateway {name}\n\n{_line(command.help)} [Its commands](commands-{name}.md).")
            below = [_section(f"## gateway {name} {inner}", one) for inner, one in command.commands.items()]
            made[f"commands-{name}.md"] = (
                "\n\n".join([f"# Reference: gateway {name}", note, _line(command.help), *below]) + "\n"
            )
        else:
            parts.append(_section(f"## gateway {name}", command))
    return {"commands.md": "\n\n".join(parts) + "\n", **made}


def _section(title: str, command: Any) -> str:
    about = "\n\n".join(_line(part) for part in (command.help or "").split("\n\n"))
    rows = [row for row in map(_row, command.params) if row]
    table = "\n".join(["| Argument or option | Default | Meaning |", "|---|---|---|", *rows])
    return f"{title}\n\n{about}" + (f"\n\n{table}" if rows else "")


def _row(param: Any) -> str:
    if "--help" in param.opts:
        return ""
    is_option = param.param_type_name == "option"
    names = ", ".join(f"`{one}`" for one in [*param.opts, *param.secondary_opts])
    if not is_option:
        names = f"`{param.metavar or param.human_readable_name.upper()}`".replace("|", "\\|")
    elif not param.is_flag and param.metavar:
        names += f" {param.metavar}"
    about = _line(getattr(param, "help", "") or "").replace("|", "\\|").replace("<", "&lt;")
    if getattr(param, "envvar", None):
        about += f" Or the variable `{param.envvar}`."
    return f"| {names} | {_default(param)} | {about} |"


def _default(param: Any) -> str:
    if param.required:
        return "required"
    shown = param.show_default if isinstance(getattr(param, "show_default", None), str) else param.default
    if shown is None or shown in ("", (), []) or shown is False or callable(shown):
        return ""
    return f"`{str(shown).lower() if shown is True else shown}`"


def _line(text: str | None) -> str:
    return " ".join((text or "").replace("\b", "").split())
