"""Every page of `rules/` is executed: Bad gives exactly the marked findings, Good none, the fix of Bad is Good."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from types import ModuleType

import pytest

from normfix import engine
from normfix.engine import Rule
from normfix.findings import Safety
from normfix.linting import run as linting

FOLDER = Path(__file__).parents[1] / "rules"
PAGES = sorted(FOLDER.glob("*.md"))
HEADINGS = ["Why it matters", "Bad", "Good", "When it is silent", "References"]
SUMMARY = re.compile(r"^\*\*Default:\*\* (.+?) · \*\*Seen in:\*\* (.+?) · \*\*Fix:\*\* (.+)$", re.MULTILINE)
MARKER = re.compile(r"  # (NF\d{3}(?: NF\d{3})*)$", re.MULTILINE)
FOUND_IN_MODEL = re.compile(r"^# (NF\d{3}) (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: Path
    heading: str
    info: str
    text: str
    line: int

    @property
    def code(self) -> str:
        return self.page.name[:5]

    @property
    def plain(self) -> str:
        """The text without its markers."""
        return MARKER.sub("", self.text)

    @property
    def marked(self) -> set[tuple[int, str]]:
        """Lines, and the codes that they are marked with."""
        lines = enumerate(self.text.splitlines(), 1)
        return {(number, code) for number, line in lines if (hit := MARKER.search(line)) for code in hit[1].split()}


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks under Bad and Good, in order."""
    found: list[Block] = []
    heading, info, start, body = "", None, 0, []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("```"):
            if info is None:
                info, start, body = line[3:].strip(), number, []
            else:
                found.append(Block(page, heading, info, "\n".join(body) + "\n", start))
                info = None
        elif info is not None:
            body.append(line)
        elif line.startswith("## "):
            heading = line[3:]
    return [block for block in found if block.heading in ("Bad", "Good")]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
SOURCE = [block for block in BLOCKS if block.info == "python"]
MODEL = [block for block in BLOCKS if block.info == "python model"]


def name(block: Block) -> str:
    return f"{block.code} {block.heading} line {block.line}"


def findings(text: str, select: list[str] | None = None, ignore: tuple[str, ...] = ()) -> set[tuple[int, str]]:
    report = linting.lint_source(text, "page.py", select=select, ignore=ignore)
    assert not report.errors
    return {(finding.line or 0, finding.code) for finding in report.findings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_has_the_form_of_every_page(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    rule = engine.rules()[page.name[:5]]
    assert page.stem == f"{rule.code}-{rule.slug}"
    assert text.startswith(f"# {rule.slug} ({rule.code})\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    assert text.isprintable() or all(line.isprintable() for line in text.splitlines())
    assert {block.info for block in blocks_of(page)} <= {"python", "python model"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_states_the_rule_as_it_is(page: Path) -> None:
    rule = engine.rules()[page.name[:5]]
    summary = SUMMARY.search(page.read_text(encoding="utf-8"))
    assert summary, "the line **Default:** ... · **Seen in:** ... · **Fix:** ... is missing"
    default, seen, _ = summary.groups()
    assert str(rule.severity) in default
    assert ("off" in default) is not rule.enabled
    assert set(seen.split(", ")) == set(rule.readers)


@pytest.mark.parametrize("rule", engine.rules().values(), ids=lambda rule: rule.code)
def test_every_rule_has_a_page(rule: Rule) -> None:
    assert (FOLDER / f"{rule.code}-{rule.slug}.md").exists()


@pytest.mark.parametrize(
    "rule", {check.rule.code: check.rule for check in engine.checks()}.values(), ids=lambda r: r.code
)
@pytest.mark.parametrize(("reader", "info"), [("source", "python"), ("model", "python model")])
def test_page_shows_the_rule_in_each_reader(rule: Rule, reader: str, info: str) -> None:
    """Both what it finds and what it leaves alone."""
    own = [block for block in BLOCKS if block.code == rule.code and block.info == info]
    wanted = {"Bad", "Good"} if reader in rule.readers else set()
    assert {block.heading for block in own} >= wanted


@pytest.mark.parametrize("block", SOURCE, ids=name)
def test_source_gives_exactly_the_marked_findings(block: Block) -> None:
    marked = {(line, code) for line, code in block.marked if code == block.code}
    assert findings(block.plain, select=[block.code]) == marked
    assert bool(marked) == (block.heading == "Bad")


@pytest.mark.parametrize("block", SOURCE, ids=name)
def test_no_other_rule_fires(block: Block) -> None:
    """In the default selection; a line that another rule marks too says so."""
    others = {(line, code) for line, code in findings(block.plain) if code != block.code}
    assert others == {(line, code) for line, code in block.marked if code != block.code}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_fix_of_bad_is_good(page: Path) -> None:
    """Character for character, where the findings of a Bad block carry a remedy for source."""
    fixes = pytest.importorskip("normfix.fixes")
    own = [block for block in SOURCE if block.page == page]
    bad, good = ([block for block in own if block.heading == heading] for heading in ("Bad", "Good"))
    for broken, mended in zip_longest(bad, good):
        if broken is None:
            break
        report = linting.lint_source(broken.plain, "page.py", select=[broken.code])
        if not any(one.remedy and one.safety is not Safety.DISPLAY for one in report.findings):
            continue
        assert mended is not None, f"line {broken.line}: a fixable Bad needs its Good"

        def lint(text: str, path: str, code: str = broken.code) -> object:
            return linting.lint_source(text, path, select=[code])

        assert fixes.fix_text(broken.plain, "page.py", lint, unsafe=True).text == mended.plain


@pytest.mark.parametrize("block", MODEL, ids=name)
def test_model_gives_exactly_the_listed_findings(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from normfix.checking.run import check

    torch.manual_seed(0)
    module = ModuleType("page")
    module.__file__ = str(tmp_path / "page.py")  # some rules read the classes of a model in their file
    Path(module.__file__).write_text(block.text, encoding="utf-8")
    monkeypatch.setitem(sys.modules, "page", module)
    names: dict[str, object] = vars(module)
    exec(compile(block.text, module.__file__, "exec"), names)
    settings = {key: names[key] for key in ("purpose", "batch_size", "world_size") if key in names}
    report = check(names["model"], names["example_inputs"], select=[block.code], **settings)  # type: ignore[arg-type]
    listed = {(code, path) for code, path in FOUND_IN_MODEL.findall(block.text)}
    assert {(finding.code, finding.module) for finding in report.findings} == listed
    assert bool(listed) == (block.heading == "Bad")
