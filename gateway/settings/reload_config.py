"""`reload:` of `gateway.yaml`: how a running gateway takes a changed configuration."""

from typing import Annotated

from gateway.core.config_types import DURATION_SCHEMA, ConfigModel, default, duration_ns


class ReloadConfig(ConfigModel):
    """How a running gateway takes a changed configuration. SIGHUP and `gateway reload` always ask for that."""

    watch: bool = False
    """Look at the folder every two seconds, and take what has changed once it has come to rest."""
    confirm: Annotated[int, duration_ns("1s", "10min"), DURATION_SCHEMA] = default("30s")
    """How long a changed device that could be read before may take until it can be read again; else it is changed back."""
    keep_after: Annotated[int, duration_ns("1s", "1d"), DURATION_SCHEMA] = default("60s")
    """How long a configuration runs before it is kept beside the outbox, for starts at which a newer one cannot be used."""
