"""Runs the checks of one rule over a text, for the tests of source rules."""

import ast
import textwrap
from collections.abc import Callable, Mapping
from types import ModuleType

from normfix import engine
from normfix.findings import Report
from normfix.fixes import fix_text
from normfix.linting.run import lint_source
from normfix.readers import scripts
from normfix.script import Script

HEADER = (
    "import torch\nimport torch.nn.functional as F\nfrom torch import nn\nfrom torch.utils.data import DataLoader\n"
)
"""Put before every text: what a file with a network imports."""
NET = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, bias=False)
        self.bn = nn.BatchNorm2d(8)

    def forward(self, x):
        return self.bn(self.conv(x))
"""
"""A network with batch norm."""
PLAIN = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 8)

    def forward(self, x):
        return self.fc(x)
"""
"""A network that eval() does not change."""


def report(
    rule: ModuleType,
    text: str,
    path: str = "m.py",
    options: Mapping[str, object] | None = None,
    sibling: Callable[[str], tuple[Script, str] | None] | None = None,
) -> Report:
    """The report of one rule on a text."""
    script = scripts.read(HEADER + textwrap.dedent(text), path)
    if sibling is not None:
        script.sibling = sibling
    facts = engine.Facts("source", path, script=script, options=options or {})
    return engine.run(facts, _checks(rule), [])


def _checks(rule: ModuleType) -> list[engine.Check]:
    return [one for one in vars(rule).values() if isinstance(one, engine.Check)]


def marked(text: str) -> list[int]:
    """The lines of a text that end in `# here`."""
    lines = (HEADER + textwrap.dedent(text)).splitlines()
    return [number for number, line in enumerate(lines, 1) if line.rstrip().endswith("# here")]


def fires(rule: ModuleType, text: str, severity: str | None = None, **how: object) -> None:
    """Assert that the rule finds exactly the lines marked `# here`, and that every message is fit to be read."""
    found = report(rule, text, **how)  # type: ignore[arg-type]  # handed on as given
    assert [one.line for one in found.findings] == marked(text), [one.message for one in found.findings]
    assert found.findings
    assert any(one.may_find(HEADER + textwrap.dedent(text), how.get("options") or {}) for one in _checks(rule)), (
        "a file of a folder is not parsed for this"
    )
    for one in found.findings:
        assert "`" in one.message and "\n" not in one.message and not one.message.endswith("."), one.message
        assert one.help and not one.help.endswith(".")
        assert severity is None or str(one.severity) == severity


def silent(rule: ModuleType, text: str, **how: object) -> None:
    """Assert that the rule says nothing about a text that Python can parse."""
    ast.parse(HEADER + textwrap.dedent(text))
    found = report(rule, text, **how)  # type: ignore[arg-type]  # handed on as given
    assert not found.findings, [one.message for one in found.findings]


def fixed(rule: ModuleType, text: str) -> str:
    """A text, under the header, after the unsafe fixes of a rule."""
    code = rule.RULE.code
    done = fix_text(HEADER + text, "m.py", lambda new, path: lint_source(new, path, select=[code]), unsafe=True)
    return done.text.removeprefix(HEADER)
