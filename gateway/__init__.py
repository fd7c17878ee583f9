"""Field devices in, honest one-second windows out over MQTT."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("gateway")
except PackageNotFoundError:  # a bare checkout on sys.path
    __version__ = "0+unknown"
