"""Texts as servers send them. Pure."""


def sound(text: str) -> str:
    """Return a text with U+FFFD for what is no UTF-8: asyncua keeps it as lone surrogates, which JSON cannot carry."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
