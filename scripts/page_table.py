"""Write Markdown tables, and put them between two markers of a page."""

from collections.abc import Sequence


def render_table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table. The first row holds the titles of the columns."""
    titles, *rest = rows
    lines = (titles, ["---"] * len(titles), *rest)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def replace_between(page: str, begin: str, end: str, text: str) -> str:
    """The page with ``text`` in place of what stands between two markers.

    Raises ValueError where a marker is missing, as the rest of the page would be lost.
    """
    before, begun, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not (begun and ended):
        raise ValueError(f"the page has no {begin} before {end}; add both")
    return before + begin + "\n" + text + "\n" + end + after
