"""All safe and unsafe fixes on the sources of packages, copied to a temporary folder, each changed file checked anew.

    python benchmarks/fix_corpus.py [--python PATH] FOLDER...      # each folder is one package

For each package: files, files changed, fixes by rule, fixes left; then of the changed files: how many compile, differ
only in statements that a finding pointed at, are changed again by a second run (none should be), and how many of those
that could be imported before can be imported now. `--python` is the interpreter that imports them: one that has what
the packages need.
"""

import argparse
import ast
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path

from normfix import fixes, lint, lint_source
from normfix.findings import Report
from normfix.fixes.run import FixedFile


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("folders", nargs="+", type=Path)
    options = parser.parse_args(arguments)
    print(f"{'package':28} files changed fixes left errors | compile pointed again imports | rules")
    bad = 0
    for folder in options.folders:
        with tempfile.TemporaryDirectory() as scratch:
            copied = Path(scratch) / folder.name
            shutil.copytree(folder, copied, ignore=shutil.ignore_patterns("*.so", "*.bin", "__pycache__"))
            bad += fixed_package(copied, folder, options.python)
    return int(bad > 0)


def fixed_package(folder: Path, original: Path, python: str) -> int:
    """Fix one package and print its line; the number of files where something was wrong."""
    count = sum(1 for _ in folder.rglob("*.py"))
    report = linted(folder)
    outcome = fixes.apply(report, lint_source, unsafe=True)
    changed = [file for file in outcome.files if file.applied]
    compiled = sum(compiles(Path(file.path)) for file in changed)
    pointed = sum(only_where_pointed(file, report) for file in changed)
    again = fixes.apply(linted(folder), lint_source, unsafe=True)
    rules = Counter(finding.code for file in changed for finding in file.applied)
    left = sum(len(file.left) for file in outcome.files)
    errors = [file for file in outcome.files if file.error]
    second = sum(bool(file.applied) for file in again.files)
    modules = [Path(file.path).relative_to(folder) for file in changed]
    before, after = imported(original, modules, python), imported(folder, modules, python)
    print(
        f"{folder.name:28} {count:5} {len(changed):7} {rules.total():5} {left:4} {len(errors):6} | "
        f"{compiled:7} {pointed:7} {second:5} {len(after):3}/{len(before):3} | "
        + ", ".join(f"{code} {n}" for code, n in sorted(rules.items()))
    )
    for failure in outcome.report.errors:
        print(f"    {failure.path}: {failure.reason}")
    sys.stdout.flush()
    return len(errors) + 2 * len(changed) - compiled - pointed + second + len(before - after)


def linted(folder: Path) -> Report:
    return lint([str(folder)]) if any(folder.rglob("*.py")) else Report()


def compiles(path: Path) -> bool:
    try:
        compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        print(f"    {path}: {error}")
        return False
    return True


IMPORT = """
import contextlib, importlib, os, sys
root, *names = sys.argv[1:]
sys.path.insert(0, root)
with contextlib.suppress(ImportError):
    import timm_shim
for name in names:
    try:
        with contextlib.redirect_stdout(sys.stderr):
            importlib.import_module(name)
        print(name)
    except BaseException as error:
        print("    cannot import", name, " ".join(str(error).split())[:90], file=sys.stderr)
os._exit(sys.stdout.flush() or 0)
"""


def imported(folder: Path, files: list[Path], python: str) -> set[str]:
    """Which of these modules of a package can be imported."""
    root = folder.parent if (folder / "__init__.py").exists() else folder
    names = [".".join((folder / file).relative_to(root).with_suffix("").parts) for file in files]
    if not names:
        return set()
    command = [python, "-c", IMPORT, str(root), *(name.removesuffix(".__init__") for name in names)]
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=here)
    reasons = [line for line in done.stderr.splitlines() if line.startswith("    cannot import")]
    print("\n".join(reasons), file=sys.stderr)
    return set(done.stdout.split())


def only_where_pointed(file: FixedFile, report: Report) -> bool:
    """Does each statement that differs hold a line that a finding points at or names, or stand beside one that does."""
    found = [one for one in report.findings if one.path == file.path]
    spans = [(one.line or 1, one.end_line or one.line or 1) for one in found]
    named = [origin for one in found for _, site in one.related if (origin := site.origin) and origin.path == file.path]
    spans += [(one.line, one.end_line) for one in named]
    old, new = (sorted(statements(text), key=lambda one: one[1]) for text in (file.old, file.new))
    matcher = SequenceMatcher(None, [text for text, _, _ in old], [text for text, _, _ in new], autojunk=False)
    for kind, start, end, _, _ in matcher.get_opcodes():
        if kind == "equal":
            continue
        touched = old[max(start - 1, 0) : end + 1] if kind == "insert" else old[start:end]
        if not any(first <= until and since <= last for _, first, last in touched for since, until in spans):
            print(f"    {file.path}: changed without a finding near {touched[:1]}")
            return False
    return True


def statements(text: str) -> Iterator[tuple[str, int, int]]:
    """Every statement without the statements in it, and its lines."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.stmt):
            fields = {name: value for name, value in ast.iter_fields(node) if not holds_statements(value)}
            shown = "".join(f"{name}={dumped(value)}" for name, value in fields.items())
            yield f"{type(node).__name__} {shown}", node.lineno, node.end_lineno or node.lineno


def holds_statements(value: object) -> bool:
    return isinstance(value, list) and any(
        isinstance(one, (ast.stmt, ast.excepthandler, ast.match_case)) for one in value
    )


def dumped(value: object) -> str:
    if isinstance(value, list):
        return "".join(map(dumped, value))
    return ast.dump(value) if isinstance(value, ast.AST) else repr(value)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
