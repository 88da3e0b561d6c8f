"""Write the page of the command line from the command line itself: `make docs`.

python scripts/write_cli_reference.py [FILE]
"""

import sys
from pathlib import Path

from colorizenet import cli


def text() -> str:
    """The page as it should be."""
    cli.mount_recipes()
    return (
        "<!-- Written by `make docs`; a test says when it is stale. -->\n\n"
        + cli.app.generate_docs(output_format="markdown")
    )


if __name__ == "__main__":
    Path(sys.argv[1] if sys.argv[1:] else Path(__file__).with_name("cli.md")).write_text(
        text(), encoding="utf-8"
    )
