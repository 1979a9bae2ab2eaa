"""The command line: exit codes, and one clear message for bad input."""

import os
import signal
import subprocess
import sys
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
    "a directory without Python files": (["lint", "empty"], "no Python file or notebook in the directory `empty`"),
    "an unknown rule code": (["lint", "--select", "NF999", "clean.py"], "no rule is called `NF999`"),
    "a slug with a typo": (["lint", "--ignore", "uncalled-mod", "clean.py"], "did you mean `uncalled-mode`"),
    "an unknown option": (["lint", "--selct", "NF301"], "unrecognized arguments: --selct"),
    "an abbreviated option": (["lint", "--sel", "NF301"], "unrecognized arguments: --sel"),
    "an unknown command": (["lnt"], "invalid choice: 'lnt'"),
    "an unknown output format": (["lint", "--output-format", "yaml"], "invalid choice: 'yaml'"),
    "an unknown rule to explain": (["rule", "NF999"], "no rule is called `NF999`"),
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


@pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise on Windows")
def test_an_interrupt_is_silent() -> None:
    code = (
        "import os, signal, sys\nfrom normfix import cli\n"
        f"cli.run = lambda argv: os.kill(os.getpid(), {int(signal.SIGINT)})\nsys.exit(cli.main([]))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (130, "", "")
