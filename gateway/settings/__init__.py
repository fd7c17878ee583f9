"""The configuration: from files and environment to models, or to a list of every problem."""

from gateway.settings.load_folder import load
from gateway.settings.model import Root, Settings, device_schema, schema

__all__ = ["Root", "Settings", "device_schema", "load", "schema"]
