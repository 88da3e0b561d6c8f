"""Write docs/cli.md from the help texts of the command line: `make docs`.

python scripts/write_cli_reference.py [FILE]
"""

import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from colorizenet import cli

ROOT = Path(__file__).parents[1]

_SETTING = re.compile(r"^\* `--(\S+)[^`]*`: *(.*?)(?=^\* `--|\Z)", re.MULTILINE | re.DOTALL)
_DEFAULT = re.compile(r"\*\[default: (.*?)\]\*", re.DOTALL)
_CHOICES = re.compile(r"\*\[choices: (.*?)\]\*", re.DOTALL)


@dataclass(frozen=True)
class Setting:
    """A setting of one recipe."""

    text: str
    """What it does, and its choices."""
    default: str


def render_reference() -> str:
    """The text of docs/cli.md."""
    commands = cli.app.generate_docs(output_format="markdown")
    # GitHub keeps all hyphens of a flag in the anchor of its heading, and MkDocs merges
    # them, so that no anchor of the heading works on both.
    commands = commands.replace("(#colorizenet-install-completion)", "(#install-completion)")
    heading = "## colorizenet --install-completion"
    commands = commands.replace(heading, f'<a id="install-completion"></a>\n\n{heading}')
    cli.train.mount_recipes()
    return (
        "<!-- Written by `make docs`; a test fails when it is out of date. -->\n\n"
        f"{commands.rstrip()}\n\n{_render_recipes()}"
    )


def _render_recipes() -> str:
    """The recipes of `train`: one table of all settings, and one of the defaults that
    differ."""
    from colorizenet.training.recipes import RECIPES

    texts = {
        name: cli.app["train"][name].generate_docs(output_format="markdown") for name in RECIPES
    }
    recipes = {name: _parse_settings(text) for name, text in texts.items()}
    names = list(dict.fromkeys(name for settings in recipes.values() for name in settings))
    summaries = [f"| `{name}` | {_find_summary(text)} |" for name, text in texts.items()]
    rows, differing = [], []
    for name in names:
        having = {recipe: each[name] for recipe, each in recipes.items() if name in each}
        defaults = Counter(setting.default for setting in having.values())
        [(usual, _)] = defaults.most_common(1)
        meanings: dict[str, list[str]] = {}
        for recipe, setting in having.items():
            meanings.setdefault(setting.text, []).append(f"`{recipe}`")
        [text, *_] = meanings
        if len(meanings) > 1:
            text = " ".join(f"In {', '.join(them)}: {it}" for it, them in meanings.items())
        elif len(having) < len(recipes):
            text += f" Only in {', '.join(meanings[text])}."
        more = " \\*" if len(defaults) > 1 else ""
        rows.append(f"| `--{name}` | {text} | {_quote(usual)}{more} |")
        if len(defaults) > 1:
            groups: dict[str, list[str]] = {}
            for recipe, setting in having.items():
                if setting.default != usual:
                    groups.setdefault(setting.default, []).append(f"`{recipe}`")
            others = "; ".join(
                f"{_quote(default)} in {', '.join(having)}" for default, having in groups.items()
            )
            differing.append(f"| `--{name}` | {_quote(usual)} | {others} |")
    return "\n".join(
        [
            "### Recipes",
            "",
            "`colorizenet train RECIPE [OPTIONS]` trains by one of these:",
            "",
            "| recipe | what it trains |",
            "|---|---|",
            *summaries,
            "",
            "### Settings of recipes",
            "",
            "A star marks a default that differs between recipes.",
            "",
            "| setting | what it does | default |",
            "|---|---|---|",
            *rows,
            "",
            "### Defaults of recipes",
            "",
            "| setting | default of most recipes | other defaults |",
            "|---|---|---|",
            *differing,
            "",
        ]
    )


def _parse_settings(text: str) -> dict[str, Setting]:
    settings = {}
    for name, about in _SETTING.findall(text):
        default = _DEFAULT.search(about)
        choices = _CHOICES.search(about)
        described = " ".join(_CHOICES.sub("", _DEFAULT.sub("", about)).split())
        if not described:
            continue  # the group of the settings of a task
        if choices:
            described += f" One of {choices[1]}."
        settings[name] = Setting(
            described.replace("|", "\\|"), " ".join(default[1].split()) if default else ""
        )
    return settings


def _find_summary(text: str) -> str:
    """The first line of the help of a recipe."""
    lines = text.split("```")[-1].split("**Parameters**")[0].split()
    return " ".join(lines)


def _quote(default: str) -> str:
    if default in ("", '""'):
        return "empty" if default else "none"
    return f"`{default}`"


if __name__ == "__main__":
    path = Path(sys.argv[1]) if sys.argv[1:] else ROOT / "docs" / "cli.md"
    path.write_text(render_reference(), encoding="utf-8")
