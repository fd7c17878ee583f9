"""What a user can say about a computed tag."""

from typing import Annotated

from pydantic import AfterValidator, Field

from gateway.core.config_types import TagModel
from gateway.core.formula.parse import MOST_CHARACTERS, parse_formula


def _check(text: str) -> str:
    parse_formula(text)
    return text


class FormulaKeys(TagModel):
    """The keys of a computed tag that others do not have."""

    formula: Annotated[str, Field(max_length=MOST_CHARACTERS), AfterValidator(_check)]
    """The tag is computed from others of this device that are read together: `raw * 10 ** sf`,
    `signed(hi * 65536 + lo, 32)`, `[Line 1] / [Line 2]`. See the page about formulas."""
