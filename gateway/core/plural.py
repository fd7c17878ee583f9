"""Numbers with their nouns in sentences."""


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return `1 tag`, `2 tags`. plural: where it is not the noun and an s."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"
