"""Sentences for people that programs can recognize."""

__all__ = ["Notice"]


class Notice(str):
    """A sentence about a picture, with a code by which a program can translate it.

    >>> Notice("photo.tif has 3 pages", "pages", pages=3).values
    {'pages': 3}
    """

    code: str
    """What the sentence is about, the same in every version."""
    values: dict[str, int | str]
    """Numbers and names in the sentence."""

    def __new__(cls, text: str, code: str = "", **values: int | str) -> "Notice":
        # str is immutable, so it gets its text here and not in __init__.
        notice = super().__new__(cls, text)
        notice.code, notice.values = code, values
        return notice
