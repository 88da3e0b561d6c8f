"""Write docs/cli.md from the command line itself: `make docs`."""

from pathlib import Path

from colorizenet import cli

PATH = Path(__file__).with_name("cli.md")


def text() -> str:
    """The page as it should be."""
    cli.mount_recipes()
    return "<!-- Written by `make docs`; a test says when it is stale. -->\n\n" + cli.app.generate_docs(
        output_format="markdown"
    )


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
