"""Field devices in, honest one-second windows out over MQTT."""

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    """`__version__`, looked up when somebody asks: it costs a tenth of a `--help`."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("gateway")
    except PackageNotFoundError:  # a bare checkout on sys.path
        return "0+unknown"
