"""The command line: exit codes, and one clear message for bad input."""

import os
import signal
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest

from normfix import __version__, cli

CLEAN = "import torch\n"
MISUSE = "import torch\n\ndef f(model: torch.nn.Module):\n    model.eval\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


BAD_INPUT = {
    "a file that is missing": (["lint", "nowhere.py"], "`nowhere.py`: no such file"),
    "a name that would move the cursor": (["lint", "a\x1b[2J.py"], "`a\\x1b[2J.py`: no such file"),
    "a directory without Python files": (["lint", "empty"], "no Python file or notebook in the directory `empty`"),
    "an unknown rule code": (["lint", "--select", "NF999", "clean.py"], "no rule is called `NF999`"),
    "a slug with a typo": (["lint", "--ignore", "uncalled-mod", "clean.py"], "did you mean `uncalled-mode`"),
    "an unknown option": (["lint", "--selct", "NF301"], "--selct (see `normfix lint --help`)"),
    "an abbreviated option": (["lint", "--sel", "NF301"], "unrecognized arguments: --sel"),
    "an unknown option of all commands": (["--verbose"], "unrecognized arguments: --verbose (see `normfix --help`)"),
    "an unknown command": (["lnt"], "invalid choice: 'lnt'"),
    "an unknown output format": (["lint", "--output-format", "yaml"], "invalid choice: 'yaml'"),
    "an unknown rule to explain": (["rule", "NF999"], "no rule is called `NF999`"),
    "a rule and all rules to explain": (["rule", "NF301", "--all"], "`NF301` and `--all` rules in one run"),
    "an empty selection": (["lint", "clean.py", "--select", ""], "expected codes or slugs of rules, got ``"),
    "no process to lint with": (["lint", "clean.py", "--jobs", "0"], "with `0` processes: expected at least 1"),
    "a baseline that is a folder": (["baseline", "write", "clean.py", "-o", "empty"], "`empty`: it is a directory"),
    "a page that is a folder": (["fold", "a.py:b", "--input", "1", "--html", "empty"], "`empty`: it is a directory"),
    "a certificate that is a folder": (
        ["swap", "a.py:b", "--to", "group", "--certificate", "empty"],
        "`empty`: it is a directory",
    ),
    "a certificate in a folder that is missing": (
        ["drop-bias", "a.py:b", "--input", "1", "--certificate", "nowhere/c.json"],
        "`nowhere/c.json`: there is no folder",
    ),
}


@pytest.mark.parametrize("arguments, message", BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input_gives_one_message(
    arguments: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "clean.py").write_text(CLEAN)
    (folder / "empty").mkdir()
    assert cli.main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert sorted(path.name for path in folder.rglob("*")) == ["clean.py", "empty"], "something was written"


CODES = {
    "nothing found": (["clean.py"], 0),
    "findings": (["clean.py", "misuse.py"], 1),
    "findings, but asked for success": (["misuse.py", "--exit-zero"], 0),
    "only ignored rules would fire": (["misuse.py", "--ignore", "NF403"], 0),
    "only rules that are not selected would fire": (["misuse.py", "--select", "NF301"], 0),
    "the more specific word wins": (["misuse.py", "--select", "NF403", "--ignore", "NF4"], 1),
    "a syntax error among other files": (["clean.py", "broken.py"], 1),
    "a syntax error in the only file": (["broken.py"], 2),
    "a syntax error is reported whatever is selected": (["broken.py", "clean.py", "--select", "NF403"], 1),
    "a syntax error that is ignored by name": (["broken.py", "clean.py", "--ignore", "NF902"], 0),
}


@pytest.mark.parametrize("arguments, code", CODES.values(), ids=CODES)
def test_exit_code(arguments: list[str], code: int, folder: Path) -> None:
    (folder / "clean.py").write_text(CLEAN)
    (folder / "misuse.py").write_text(MISUSE)
    (folder / "broken.py").write_text("x = (\n")
    assert cli.main(["lint", *arguments]) == code


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"normfix {__version__}\n"


def test_help_names_every_command_without_importing_them() -> None:
    code = "import sys; from normfix.cli import main\ntry: main(['--help'])\nfinally: print(*sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stdout
    for name in cli.COMMANDS:
        assert f"    {name}" in printed
    assert "normfix.commands" not in printed.split("normfix.cli")[-1]


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        cli.main([name, "--help"])
    assert leaving.value.code == 0
    assert f"usage: normfix {name}" in capsys.readouterr().out


HEAVY = {"torch", "libcst", "onnx", "numpy", "rich", "pathspec", "platformdirs", "typing", "dataclasses", "inspect"}


def test_lint_loads_nothing_heavy(folder: Path) -> None:
    (folder / "misuse.py").write_text(MISUSE)
    code = "import sys; from normfix.cli import main; main(['lint', 'misuse.py', '--no-cache']); print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "NF403" in run.stdout
    assert not HEAVY & set(run.stdout.splitlines()[-1].split())


def test_the_reader_of_a_pipe_may_leave(folder: Path) -> None:
    (folder / "many.py").write_text(MISUSE + "    model.eval\n" * 5000)
    command = [sys.executable, "-m", "normfix", "lint", "many.py"]
    # Unbuffered, Python itself drops what a pipe did not take.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.readline()
        run.stdout.close()
        assert run.stderr.read() == ""
    assert run.returncode == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is full")
@pytest.mark.parametrize("command", [["lint", "misuse.py"], ["rule", "--all"]], ids=["a few bytes", "many"])
def test_a_full_disk_is_told(command: list[str], folder: Path) -> None:
    (folder / "misuse.py").write_text(MISUSE)
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(
            [sys.executable, "-m", "normfix", *command], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (run.returncode, run.stderr) == (2, "error: cannot write to standard output: No space left on device\n")


@pytest.mark.skipif(os.name == "nt", reason="the shell of Windows cannot close a stream")
@pytest.mark.parametrize(
    "command, code, told",
    [
        ("lint misuse.py >&-", 1, ""),
        ("lint misuse.py 2>&- >&-", 1, ""),
        ("lint nowhere.py 2>&-", 2, ""),
        ("lint - <&-", 2, "error: cannot read standard input: it is closed\n"),
        pytest.param(
            "lint - < /proc/self/mem",
            2,
            "error: cannot read standard input: Input/output error\n",
            marks=pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="nothing here fails to be read"),
        ),
    ],
)
def test_streams_that_are_closed(command: str, code: int, told: str, folder: Path) -> None:
    (folder / "misuse.py").write_text(MISUSE)
    shell = f"{sys.executable} -m normfix {command}"
    run = subprocess.run(shell, shell=True, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr, run.stdout) == (code, told, "")


@pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise on Windows")
def test_an_interrupt_is_silent() -> None:
    code = (
        "import os, signal, sys\nfrom normfix import cli\n"
        f"cli.run = lambda argv: os.kill(os.getpid(), {int(signal.SIGINT)})\nsys.exit(cli.main([]))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (130, "", "")


class Bytes:
    """Standard input that holds these bytes."""

    def __init__(self, data: bytes) -> None:
        self.buffer = BytesIO(data)


STDIN = {
    "clean": (CLEAN.encode(), [], 0, "Nothing found"),
    "a misuse": (MISUSE.encode(), [], 1, "<stdin>:4:5"),
    "a misuse with a name": (MISUSE.encode(), ["--stdin-filename", "src/a.py"], 1, "4 |     model.eval"),
    "a name that is ignored": (MISUSE.encode(), ["--stdin-filename", "ignored.py"], 0, "Nothing found"),
    "an encoding": ("# coding: latin-1\n'é'\n".encode("latin-1"), [], 0, "Nothing found"),
    "a syntax error": (b"x = (\n", [], 2, "NF902"),
    "a notebook": (b'{"cells": []}', ["--stdin-filename", "a.ipynb"], 0, "Nothing found"),
    "left out": (
        MISUSE.encode(),
        ["--force-exclude", "--exclude", "src", "--stdin-filename", "src/a.py"],
        0,
        "Nothing",
    ),
}


@pytest.mark.parametrize("data, arguments, code, printed", STDIN.values(), ids=STDIN)
def test_standard_input(
    data: bytes,
    arguments: list[str],
    code: int,
    printed: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (folder / "pyproject.toml").write_text("[tool.normfix.per-file-ignores]\n'ignored.py' = ['NF4']\n")
    monkeypatch.setattr(sys, "stdin", Bytes(data))
    assert cli.main(["lint", "-", *arguments]) == code
    assert printed in capsys.readouterr().out


def test_standard_input_goes_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["lint", "-", "a.py"]) == 2
    assert capsys.readouterr().err == "error: cannot lint standard input (`-`) and files in one run\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_commands_and_options(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "lint" in script
    assert "extend-select" in script


def test_statistics(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "net.py").write_text(
        "from torch import nn\n\nclass Net(nn.Module):\n    def __init__(self, width):\n        super().__init__()\n"
        "        self.a = nn.BatchNorm2d(8)\n        self.b = nn.BatchNorm2d(width)\n\n"
        "    def forward(self, x):\n        return self.b(self.a(x).relu())\n"
    )
    assert cli.main(["lint", "net.py", "--statistics", "--output-format", "concise"]) == 0
    assert "what feeds it is known for 2 of 2 norm layers" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command",
    [
        ["check", "model.py:net"],
        ["fold", "model.py:net", "--input", "2x3"],
        ["inspect", "model.py:net"],
        ["verify", "a.py:a", "b.py:b"],
    ],
    ids=lambda command: command[0],
)
def test_a_missing_torch_is_named_with_the_extra_that_brings_it(command: list[str]) -> None:
    program = f"import sys; sys.modules['torch'] = None; from normfix.cli import main; sys.exit(main({command}))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr == (f'error: cannot run `normfix {command[0]}`: it needs torch; pip install "normfix[torch]"\n')


@pytest.mark.parametrize(("word", "code"), [("eval", 1), ("eval()", 0)], ids=["found", "clean"])
def test_a_process_that_ends_early_has_said_everything(word: str, code: int, folder: Path) -> None:
    """A lint leaves its memory to the system; what others have asked to run at the end runs all the same."""
    (folder / "net.py").write_text("import torch\n" + f"model.{word}\n" * 3000)
    program = "import atexit, sys; atexit.register(print, 'the end'); from normfix.__main__ import run; sys.exit(run())"
    command = [sys.executable, "-c", program, "lint", "net.py", "--output-format", "concise"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (code, "")
    assert run.stdout.endswith("the end\n")
    assert run.stdout.count("net.py:") == 3000 * code


def test_a_profiler_sees_the_end_of_a_run(folder: Path) -> None:
    (folder / "net.py").write_text("import torch\nmodel.eval\n")
    command = [sys.executable, "-m", "cProfile", "-m", "normfix", "lint", "net.py"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Found 1 error" in run.stdout
    assert "function calls" in run.stdout
