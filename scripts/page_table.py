"""What the programs here write into pages: a table between two marks."""

from collections.abc import Sequence


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells, the first of which are the titles."""
    titles, *rest = lines
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (titles, ["---"] * len(titles), *rest))


def between(page: str, begin: str, end: str, text: str) -> str:
    """A page with another text between its marks."""
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return before + begin + "\n" + text + "\n" + end + after
