"""Every command, option, file and link that the documentation names is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import click
import pytest

from schuss.cli.main import commands

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [
    page for page in PAGES if page.exists() and not {"_build", "_static", "_made"} & {*page.relative_to(ROOT).parts}
]

OF_THE_SHELL = ("|", "&&", "#", "…")


def said_to_the_shell(text: str) -> Iterator[str]:
    """Give the commands of console blocks and of inline code."""
    for block in re.findall(r"```console\n(.*?)```", text, re.S):
        yield from re.findall(r"^\$ (.*)$", block, re.M)
    prose = re.sub(r"```.*?```", "", text, flags=re.S)
    yield from (" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose))


def calls(text: str) -> Iterator[list[str]]:
    """Give the words behind each `schuss`, up to what belongs to the shell."""
    for line in said_to_the_shell(text):
        words = line.split()
        for at, word in enumerate(words):
            begins = at == 0 or words[at - 1] in (*OF_THE_SHELL, "until")
            if begins and word.rpartition("/")[2] == "schuss" and words[at + 1 :]:
                yield [*takewhile(lambda word: word not in OF_THE_SHELL, words[at + 1 :])]


def options_of(command: click.Command) -> set[str]:
    found = [one for one in command.params if isinstance(one, click.Option)]
    return {"--help", *(name for one in found for name in (*one.opts, *one.secondary_opts))}


def wrong(words: list[str]) -> str | None:
    """Say what the command line would not understand."""
    if words[0].startswith("-"):
        return None if words[0] in options_of(commands) else f"no option {words[0]}"
    command = commands.commands.get(words[0])
    if command is None:
        return f"no command {words[0]}"
    known = options_of(command)
    missing = [word for word in words[1:] if word.startswith("--") and word.strip("'") not in known]
    return f"{words[0]} has no option {missing[0]}" if missing else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands(page: Path) -> None:
    found = [(words, wrong(words)) for words in calls(page.read_text(encoding="utf-8"))]
    assert [one for one in found if one[1]] == []


def test_commands_are_found() -> None:
    found = {words[0] for page in PAGES for words in calls(page.read_text(encoding="utf-8"))}
    assert {"train", "predict", "update", "explain", "report", "export", "resume", "landscape", "compare"} <= found
    assert wrong(["train", "x.csv", "--taget", "y"])
    assert wrong(["trian", "x.csv"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_options_named_alone(page: Path) -> None:
    """`--word` in the text is an option of some command."""
    known = {name for command in commands.commands.values() for name in options_of(command)}
    codes = re.findall(r"`(--[a-z0-9-]+)[^`]*`", page.read_text(encoding="utf-8"))
    assert {*codes} - known == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_and_links(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    linked = [page.parent / target for target in targets if target]
    named = [
        ROOT / name for name in re.findall(r"(?<![\w/.])(?:benchmarks|tests|examples|docs|src)/[\w/.-]+\.\w+", text)
    ]
    assert [str(path) for path in (*linked, *named) if not path.exists()] == []


def test_the_tree_of_the_readme_is_that_of_the_code() -> None:
    tree = re.search(r"^src/schuss/\n((?:  .*\n)+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.M)
    assert tree is not None
    listed = {line.split()[0].rstrip("/") for line in tree[1].splitlines()}
    there = {path.name for path in (ROOT / "src/schuss").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert there <= listed
    assert all((ROOT / "src/schuss" / name).exists() for name in listed)
