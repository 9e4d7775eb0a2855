"""Names of files and classes, made safe for terminals, logs and pages."""

import unicodedata


def printable(text: object) -> str:
    """`text` on one line without control characters and undecodable bytes.

    Control and formatting characters (an ANSI escape, a line break, a switch of the writing direction) become `\\x1b`
    and the like, bytes of a file name that are not UTF-8 become U+FFFD.
    """
    return "".join(_visible(character) for character in str(text))


def _visible(character: str) -> str:
    kind = unicodedata.category(character)
    if kind == "Cs":  # Python's stand-in for an undecodable byte: PEP 383
        return "\N{REPLACEMENT CHARACTER}"
    if kind in ("Cc", "Cf", "Zl", "Zp") and character != "\N{ZERO WIDTH JOINER}":
        return character.encode("unicode_escape").decode("ascii")
    return character
