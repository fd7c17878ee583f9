"""Texts as servers send them. Pure."""


def sound(text: str) -> str:
    """The same with U+FFFD for what is no UTF-8: asyncua keeps such bytes as lone surrogates, which no JSON can carry."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
