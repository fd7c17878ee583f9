"""How large a configuration may be. Beyond each ceiling there is a problem with its place, before time and memory grow.

They are far above what plants need: a gateway of 100,000 tags in CSV files stays below all of them.
"""

from typing import Final

YAML_BYTES: Final = 8 * 2**20
"""Of one YAML file."""
CSV_BYTES: Final = 16 * 2**20
"""Of one tag file."""
DEPTH: Final = 20
"""Levels of a YAML file, and of the name of a variable."""
VALUES: Final = 100_000
"""Values of one YAML file; what aliases repeat counts again."""
KEYS: Final = 5000
"""Of one mapping of a YAML file."""
KEY_CHARACTERS: Final = 256
"""Of a key, and of a column's name."""
TEXT_CHARACTERS: Final = 65_536
"""Of one value."""
NUMBER_CHARACTERS: Final = 1000
"""Of a value that YAML reads as a number or time: from 4,300 digits on Python refuses to show it (CVE-2020-10735)."""
TAG_DIRECTIVES: Final = 100
"""Lines %TAG of a YAML file: libyaml compares each with all before it."""
COLUMNS: Final = 200
"""Of a tag file."""
DEVICES: Final = 10_000
"""In all files."""
TAGS: Final = 250_000
"""Of all devices."""
PROBLEMS: Final = 1000
"""Found in one file, or in all; the rest is not looked for."""
