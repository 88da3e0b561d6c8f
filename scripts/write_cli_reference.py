"""Write docs/cli.md from the help texts of the command line: `make docs`.

python scripts/write_cli_reference.py [FILE]
"""

import sys
from pathlib import Path

from colorizenet import cli

ROOT = Path(__file__).parents[1]


def render_reference() -> str:
    """The text of docs/cli.md."""
    cli.train.mount_recipes()
    return (
        "<!-- Written by `make docs`; a test fails when it is out of date. -->\n\n"
        + cli.app.generate_docs(output_format="markdown")
    )


if __name__ == "__main__":
    path = Path(sys.argv[1]) if sys.argv[1:] else ROOT / "docs" / "cli.md"
    path.write_text(render_reference(), encoding="utf-8")
