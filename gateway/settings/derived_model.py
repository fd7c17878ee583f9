"""Models that are put together at run time from those of the parts."""

from typing import Any

from pydantic import BaseModel, create_model


def derived_model(name: str, *bases: type[BaseModel], doc: str | None = None, **fields: Any) -> Any:
    """Return a model with these fields beside those of its bases. doc: its docstring.

    Its own fields are described where they are given. Else pydantic would search for docstrings in the source of
    every frame of the stack, where such a model has none: a tenth of what importing the configuration's models takes.
    """
    return create_model(
        name,
        __base__=bases,
        __doc__=doc,
        __cls_kwargs__={"use_attribute_docstrings": False},
        **fields,
    )
