"""Runs the blocks of a Markdown page: what they print is what the page shows.

    python tests/documents.py PAGE...       # write the real output into pages

    console     every line `$ command` is run in a copy of `examples/`; the lines after it are its output. `...` stands
                for any lines, or within a line for any text, and a number such as 3.2e-16 or 1.25 s for any other.
    python      run in order, in one namespace for each page; `>>>` as in doctest
    toml        read as a configuration
    yaml        pre-commit and CI: hooks and commands must exist
    sh          not run; every `normfix ...` must be a command line that is understood
    text        not looked at

A block within an HTML comment is run too: it prepares what readers need not see.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from normfix import cli, config
from normfix.checking.planned import model_of

ROOT = Path(__file__).parents[1]
_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"\d\\\.\de(?:\\-|\\\+)\d\d")
"""Such as 3.2e-16, in a pattern."""
_SECONDS = re.compile(r"\d+\\\.\d\d\\ s\b")
"""Such as 1.25 s, in a pattern."""
_IN_SHELL = re.compile(r"[|<>;&]")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    info: str
    text: str
    line: int
    start: int
    """Where its text begins in the page."""


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [
        Block(found["info"].strip(), found["text"], page.count("\n", 0, found.start()) + 1, found.start("text"))
        for found in _FENCE.finditer(page)
    ]


@dataclass
class Session:
    """What the blocks of one page share: a folder, a namespace, the last exit code."""

    folder: Path
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "page"})
    code: int = 0

    def command(self, line: str) -> str:
        """The output of one command line, stdout and stderr as they come."""
        words = shlex.split(line)
        if line == "echo $?":
            return f"{self.code}\n"
        if words[0] == "normfix" and not _IN_SHELL.search(line):
            return self._captured(lambda: cli.main(words[1:]))
        if words[0] == "python" and words[1].endswith(".py"):
            return self._captured(lambda: script(words[1:]))
        done = subprocess.run(
            ["bash", "-c", line], cwd=self.folder, env=environment(), capture_output=True, text=True, check=False
        )
        self.code = done.returncode
        return done.stdout + done.stderr

    def python(self, block: Block) -> None:
        """Run a block of Python. Raises AssertionError where doctest shows something else than was said."""
        if ">>> " not in block.text:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile("\n" * block.line + block.text, "page", "exec"), self.names)
            return
        test = doctest.DocTestParser().get_doctest(block.text, self.names, "page", "page", block.line)
        told = io.StringIO()
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE, verbose=False)
        runner.run(test, out=told.write, clear_globs=False)
        self.names |= test.globs
        assert runner.summarize(verbose=False).failed == 0, told.getvalue()

    def _captured(self, work: Any) -> str:
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
            self.code = work()
        return shown.getvalue()


def script(words: list[str]) -> int:
    """Run a Python script as `python` would, in this process."""
    path, argv = sys.path[:], sys.argv
    sys.path.insert(0, str(Path(words[0]).resolve().parent))
    sys.argv = words
    try:
        runpy.run_path(words[0], run_name="__main__")
    finally:
        sys.path[:], sys.argv = path, argv
    return 0


def environment() -> dict[str, str]:
    """For a shell: this interpreter's `normfix`, no colours, 80 columns."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "COLUMNS": "80", "NO_COLOR": "1"}


@contextlib.contextmanager
def session() -> Iterator[Session]:
    """A copy of the examples to work in; afterwards folder, import path and modules are as they were."""
    here, path, modules = Path.cwd(), sys.path[:], set(sys.modules)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "examples", f"{folder}/examples", ignore=shutil.ignore_patterns("__pycache__"))
        os.chdir(folder)
        columns = os.environ.get("COLUMNS")
        os.environ["COLUMNS"] = "80"
        try:
            yield Session(Path(folder))
        finally:
            os.chdir(here)
            sys.path[:] = path
            sys.path_importer_cache.clear()  # it knows folders by names that are relative
            for name in set(sys.modules) - modules:
                if str(getattr(sys.modules[name], "__file__", None) or "").startswith(os.path.realpath(folder)):
                    del sys.modules[name]
            os.environ.pop("COLUMNS") if columns is None else os.environ.update(COLUMNS=columns)


def matches(shown: str, real: str) -> bool:
    """Is `real` what the page shows, up to `...` and numbers."""
    lines = [r"(?:.*\n)*?" if line == "..." else f"{_line(line)}\n" for line in shown.splitlines()]
    return re.fullmatch("".join(lines), real) is not None


def _line(shown: str) -> str:
    pattern = re.escape(shown).replace(r"\.\.\.", ".*")
    return _SECONDS.sub(r"\\d+\\.\\d\\d s", _NUMBER.sub(r"\\d\\.\\de[-+]\\d\\d", pattern))


def run(block: Block, within: Session) -> str:
    """Run one block; the text that it should have. Raises AssertionError for Python and configurations that fail."""
    if block.info == "console":
        return "".join(_console(block, within))
    if block.info == "python":
        within.python(block)
    elif block.info == "toml":
        _configuration(block, within.folder)
    elif block.info == "yaml":
        _known_jobs(yaml.safe_load(block.text))
    elif block.info == "json":
        json.loads(block.text)
    elif block.info == "sh":
        _understood(block.text.splitlines())
    else:
        assert block.info == "text", f"line {block.line}: nothing is known of a block `{block.info}`"
    return block.text


def _console(block: Block, within: Session) -> Iterator[str]:
    """The block, with the real output where what it shows is not that."""
    commands = re.split(r"(?m)^\$ ", block.text)
    assert not commands[0], f"line {block.line}: a console block begins with `$ `"
    for command in commands[1:]:
        line, _, shown = command.partition("\n")
        body, blank = shown.rstrip("\n"), "\n" if shown.endswith("\n\n") else ""
        real = "\n".join(row.rstrip() for row in within.command(line).rstrip("\n").splitlines())
        real = real.replace(f"{os.path.realpath(within.folder)}/", "")
        wanted = body if matches(body + "\n", real + "\n") else real
        yield f"$ {line}\n{wanted}{chr(10) if wanted else ''}{blank}"


def _configuration(block: Block, folder: Path) -> None:
    path = folder / "shown.toml"
    path.write_text(block.text, encoding="utf-8")
    for table in config.read(str(path)).models:
        model_of(table)


def _known_jobs(document: Any) -> None:
    """Every hook of ours that is named exists, and every command that is run is understood."""
    hooks = {hook["id"] for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))}
    for repository in document.get("repos", ()):
        assert {hook["id"] for hook in repository["hooks"]} <= hooks
    jobs = document.get("jobs", {}).values()
    _understood([line for job in jobs for step in job["steps"] for line in step.get("run", "").splitlines()])
    for job in document.values():
        _understood(job.get("script", []) if isinstance(job, dict) else [])


def _understood(lines: list[str]) -> None:
    parser = cli.build_parser(tuple(cli.COMMANDS))
    for line in lines:
        command = re.split(r"[|>#]", line)[0].strip()
        if command.startswith("normfix "):
            parser.parse_args(shlex.split(command)[1:])


def written(page: str) -> str:
    """The page with the real output of its console blocks. Raises AssertionError where another block fails."""
    parts, end = [], 0
    with session() as within:
        for block in blocks(page):
            parts += [page[end : block.start], run(block, within)]
            end = block.start + len(block.text)
    return "".join([*parts, page[end:]])


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name).resolve()
        old = path.read_text(encoding="utf-8")
        new = written(old)
        if new != old:
            path.write_text(new, encoding="utf-8")
        print(f"{'written' if new != old else 'right'}  {name}", file=sys.__stdout__)
