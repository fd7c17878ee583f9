"""A folder or type as one entry of a device: which of the variables below it become tags. Pure."""

from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from gateway.core.config_types import ConfigModel
from gateway.sources.opcua.config.node_text import NodeText
from gateway.sources.opcua.config.type_text import TypeText

MOST_DEPTH = 32


def _patterns(value: Any) -> Any:
    """One pattern may stand without a list."""
    value = [value] if isinstance(value, str) else value
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) and one.strip() for one in value):
        raise ValueError(f"{value!r} is not a list of patterns; expected for instance [Motor*.Speed, '*.Temperature']")
    return tuple(one.strip() for one in value)


Patterns = Annotated[
    tuple[str, ...],
    Field(max_length=1000),
    BeforeValidator(_patterns),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


class Browse(ConfigModel):
    """Variables below a node become tags, named by the browse names on the way, joined by dots."""

    root: NodeText = "i=85"
    """NodeId or browse path of the folder or object to begin at; not part of the names. Default: the Objects folder."""
    type: TypeText | None = None
    """Only variables of objects of this type or its subtypes: its name (MachineToolType, 4:MachineToolType,
    {URI}MachineToolType), NodeId or browse path. Of a type of variables: these, and what is below them."""
    include: Patterns = ("*",)
    """Names to take, * for any characters: Motor*.Speed. Names are matched whole, in capitals as they are."""
    exclude: Patterns = ()
    """Names to leave out of these."""
    depth: Annotated[int, Field(ge=1, le=MOST_DEPTH)] = 16
    """How many levels below root are looked at."""
    members: Literal["instead", "also", "none"] = "instead"
    """Variables below variables, such as members of structures and elements of arrays. `instead`: they become tags in the
    place of a structure or array that they tell all of; `also`: beside it; `none`: variables are not looked into."""
    properties: bool = False
    """True takes properties of variables, too, but for those that only say what a value means (EURange, EnumStrings ...)."""
    values: Literal["numbers", "all"] = "numbers"
    """`numbers`: single numbers, Booleans and enumerations. `all`: also texts, dates, arrays and structures."""
    most: Annotated[int, Field(ge=1, le=1_000_000)] = 5000
    """Tags at most; the rest is left out, and that is told."""
    on_change: Literal["tell", "take", "restart"] = "tell"
    """What happens when the server's variables are other ones than those that run. `tell`: an event, and they are taken at
    the next start. `take`: they are taken at once; this device is connected anew, and no other one notices. `restart` is the
    older word for it."""

    def wants(self, name: str) -> bool:
        """Whether a variable of this name becomes a tag."""
        return any(_matches(name, one) for one in self.include) and not any(_matches(name, one) for one in self.exclude)


def _matches(name: str, pattern: str) -> bool:
    """Brackets are a choice of characters, or stand for themselves: elements of arrays are often called [0]."""
    return fnmatchcase(name, pattern) or ("[" in pattern and fnmatchcase(name, pattern.replace("[", "[[]")))
