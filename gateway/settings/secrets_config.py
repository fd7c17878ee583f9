"""The section `secrets` of gateway.yaml."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from gateway.core.config_types import ConfigModel, ExistingFile, FolderPath


class SecretsConfig(ConfigModel):
    """Where `!secret NAME` is looked for, and whether passwords may stand in the configuration itself."""

    folder: FolderPath = Field(default=Path("secrets"))
    """Folder with one file for each secret, named like it; NAME.age is one encrypted with age."""
    age_identity: ExistingFile | None = None
    """File with the key that opens NAME.age (an identity of age, AGE-SECRET-KEY-1...). Needs the extra `age`."""
    literal: Literal["warn", "allow", "refuse"] = "warn"
    """Passwords in clear text in a YAML file. warn: they work, and check and start name each of them; allow: they are
    permitted; refuse: they are errors."""
