"""README and `docs/`: every block runs and shows what is printed, every option, key and public name is explained, every
link leads somewhere."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import re
from pathlib import Path

import pytest
from documents import ROOT, blocks, matches, run, session

import normfix
from normfix import cli, config
from normfix.checking.planned import Model

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
LINKING = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "benchmarks" / "precision.md"]
LINK = re.compile(r"(?<!!)\[[^]]+]\(([^)\s]+)\)")
OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")
NEEDS_TORCH = {"README.md", "api.md", "targets.md"} | {
    f"{name}.md" for name in "check inspect fold swap drop-bias migrate verify".split()
}


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def body(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_runs_and_shows_what_is_printed(page: Path) -> None:
    if page.name in NEEDS_TORCH:
        pytest.importorskip("onnxscript")
    with session() as within:
        for block in blocks(body(page)):
            assert run(block, within) == block.text, f"line {block.line}: `python tests/documents.py {name(page)}`"


@pytest.mark.parametrize(
    ("shown", "real"),
    [
        ("a\n", "a\nb\n"),
        ("a\nb\n", "a\n"),
        ("formula 3.2e-16\n", "formula 0\n"),
        ("1.5\n", "1.6\n"),
        ("a ... c\n", "a b\nc\n"),
    ],
    ids=["more is printed", "less is printed", "no such number", "a plain number is exact", "dots stay in their line"],
)
def test_a_page_that_is_wrong_is_told(shown: str, real: str) -> None:
    assert not matches(shown, real)


@pytest.mark.parametrize(
    ("shown", "real"),
    [
        ("a\n...\nd\n", "a\nb\nc\nd\n"),
        ("a\n...\nd\n", "a\nd\n"),
        ("formula 3.2e-16\n", "formula 1.9e-07\n"),
        ("a ... c (1)\n", "a b c (1)\n"),
    ],
    ids=["lines left out", "no line left out", "any small number", "text left out"],
)
def test_dots_and_measured_numbers_may_differ(shown: str, real: str) -> None:
    assert matches(shown, real)


def parser_of(command: str) -> argparse.ArgumentParser:
    """The parser that holds the options of a command; that of its action where it has one."""
    parser = cli.build_parser((command,))
    for word in (command, "write"):
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction) and word in action.choices:
                parser = action.choices[word]
    return parser


def options_of(command: str) -> set[str]:
    return {option for action in parser_of(command)._actions for option in action.option_strings}


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next one of its level or above."""
    level = heading.index(" ")
    _, _, rest = f"\n{text}".partition(f"\n{heading}\n")
    return re.split(rf"(?m)^#{{1,{level}}} ", rest)[0]


def first_cells(table: str) -> list[str]:
    """The code in the first cell of each row of a table."""
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    return [word for cell in rows for word in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_option_is_in_the_table_of_its_command_and_no_other(command: str) -> None:
    words = first_cells(section(body(DOCS / "commands" / f"{command}.md"), "## Options"))
    assert {word.split()[0] for word in words if word.startswith("-")} == options_of(command)


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_argument_and_choice_is_named(command: str) -> None:
    text = section(body(DOCS / "commands" / f"{command}.md"), "## Options")
    for action in parser_of(command)._actions:
        if not action.option_strings:
            assert f"| `{action.metavar or action.dest.upper()}" in text
        for choice in action.choices or ():
            assert f"`{choice}`" in text


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_options_that_are_mentioned_exist(page: Path) -> None:
    """In the text of a page; options of other programs stand in blocks only."""
    prose = re.sub(r"(?ms)^```.*?^```$", "", body(page))
    code = " ".join(re.findall(r"`([^`]+)`", prose))
    known = {"--version"}.union(*map(options_of, cli.COMMANDS))
    assert set(OPTION.findall(code)) <= known | {"-m"}


def test_every_command_has_a_page_and_a_line() -> None:
    assert {page.stem for page in (DOCS / "commands").glob("*.md")} == set(cli.COMMANDS)
    assert [
        word for word in cli.COMMANDS if f"| [`{word}`](commands/{word}.md) | " not in body(DOCS / "README.md")
    ] == []


def test_every_key_of_the_configuration_is_explained() -> None:
    models = {one.name.replace("_", "-") for one in dataclasses.fields(Model)}
    text, rest = body(DOCS / "configuration.md").split("The keys of a table")
    assert set(first_cells(text)) == set(config._KEYS)
    assert set(first_cells(rest.split("## ")[0])) == models


@pytest.mark.parametrize("public", sorted(normfix._HOMES))
def test_every_public_name_is_explained_with_its_signature_and_an_example(public: str) -> None:
    pytest.importorskip("onnxscript")
    text = section(body(DOCS / "api.md"), f"### `{public}`")
    value = getattr(normfix, public)
    assert any(block.info == "python" and ">>> " in block.text for block in blocks(text))
    if inspect.isfunction(value):
        [shown] = [block.text for block in blocks(text) if block.info == "text"]
        assert " ".join(shown.split()) == f"{public}{signature(value)}"
    elif dataclasses.is_dataclass(value) or hasattr(value, "__slots__"):
        assert [one for one in fields(value) if f"`{one}`" not in text] == []


def fields(value: type) -> list[str]:
    """Of a dataclass, of the standard library or of `normfix.records`."""
    return [one for one in value.__annotations__ if not one.startswith("_")]


def signature(function: object) -> str:
    """As it is written in source: annotations are texts there."""
    found = inspect.signature(function)  # type: ignore[arg-type]  # a function
    plain = re.sub(r"(?<=: )'([^']*)'(?=[,)= ])", r"\1", str(found))
    return re.sub(r"-> '([^']*)'$", r"-> \1", plain)


@pytest.mark.parametrize("page", LINKING, ids=name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    prose = re.sub(r"(?ms)^ *```.*?^ *```$", "", body(page))
    for link in LINK.findall(prose):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in {slug(line) for line in body(target).splitlines() if line.startswith("#")}, link


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lstrip("#").strip().lower()).replace(" ", "-")


def test_every_page_is_reached_from_the_readme() -> None:
    seen, waiting = set(), [ROOT / "README.md"]
    for page in waiting:
        if page in seen:
            continue
        seen.add(page)
        links = {link.partition("#")[0] for link in LINK.findall(body(page)) if "://" not in link}
        waiting += [(page.parent / link).resolve() for link in links if link.endswith(".md")]
    assert {page.resolve() for page in PAGES} <= seen


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_python_of_a_page_reads_well(page: Path) -> None:
    """It is formatted as the project is, and its lines fit."""
    for block in blocks(body(page)):
        if block.info == "python" and ">>> " not in block.text:
            ast.parse(block.text)
            assert max(map(len, block.text.splitlines())) <= 120


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_is_shown_is_neither_a_failure_nor_of_one_machine(page: Path) -> None:
    assert not re.findall(r"/root/|/home/|/tmp/|site-packages/|Warning:|normfix failed on", body(page))
