"""The hook of this checkout, run by the real pre-commit on a repository made for the test."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
CONFIG = "repos:\n- repo: {repo}\n  rev: {rev}\n  hooks:\n  - id: {hook}\n"
MISUSE = "import torch\n\n\ndef f(model: torch.nn.Module):\n    model.eval\n"
NOTES = "# one\n" * 9

pytest.importorskip("pre_commit")
pytestmark = [
    pytest.mark.skipif(shutil.which("git") is None, reason="needs git"),
    pytest.mark.network,
]


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    run = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return run.stdout.strip()


@pytest.fixture(scope="module")
def hooks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A git repository with what an installation needs of the checkout as it is now, and its revision."""
    folder = tmp_path_factory.mktemp("hooks") / "normfix"
    folder.mkdir()
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("normfix", "rules"):
        shutil.copytree(CHECKOUT / name, folder / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE", ".pre-commit-hooks.yaml"):
        shutil.copy(CHECKOUT / name, folder / name)
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "checkout")
    return folder, git(folder, "rev-parse", "HEAD")


@pytest.fixture(scope="module")
def repository(hooks: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("user") / "project"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / ".pre-commit-config.yaml").write_text(CONFIG.format(repo=hooks[0], rev=hooks[1], hook="normfix"))
    (folder / "notes.txt").write_text("model.eval\n")
    (folder / "clean.py").write_text("import torch\n")
    git(folder, "add", ".")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def pre_commit(repository: Path, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PRE_COMMIT_HOME": str(home), "PRE_COMMIT_COLOR": "never"}
    environment.pop("PYTHONPATH", None)
    command = [sys.executable, "-m", "pre_commit", "run", *arguments]
    return subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, check=False)


def test_a_clean_commit_passes(repository: Path, home: Path) -> None:
    run = pre_commit(repository, home)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Passed" in run.stdout


def test_a_misuse_stops_the_commit(repository: Path, home: Path) -> None:
    (repository / "train.py").write_text(MISUSE)
    git(repository, "add", "train.py")
    run = pre_commit(repository, home)
    assert run.returncode == 1
    assert "train.py:5:5" in run.stdout
    assert "NF403" in run.stdout
    git(repository, "rm", "-q", "--cached", "train.py")


def test_files_of_other_types_are_left_alone(repository: Path, home: Path) -> None:
    run = pre_commit(repository, home, "--files", "notes.txt")
    assert run.returncode == 0
    assert "no files to check" in run.stdout


@pytest.fixture
def fixing(hooks: tuple[Path, str], tmp_path: Path) -> Path:
    """A project with the fixing hook and a misuse that is committed already."""
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "-q")
    config = CONFIG.format(repo=hooks[0], rev=hooks[1], hook="normfix-fix")
    (folder / ".pre-commit-config.yaml").write_text(config)
    (folder / "train.py").write_text("import torch\n\n\ndef f(model: torch.nn.Module):\n    return model\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "start")
    (folder / "train.py").write_text(MISUSE + NOTES)
    git(folder, "add", ".")
    return folder


FIXED = MISUSE.replace("model.eval\n", "model.eval()\n") + NOTES


def test_a_staged_misuse_is_fixed_and_passes_when_staged_again(fixing: Path, home: Path) -> None:
    run = pre_commit(fixing, home)
    assert run.returncode == 1
    assert "files were modified by this hook" in run.stdout
    assert (fixing / "train.py").read_text() == FIXED
    git(fixing, "add", "train.py")
    assert pre_commit(fixing, home).returncode == 0


def test_what_is_not_staged_stays_beside_the_fix(fixing: Path, home: Path) -> None:
    staged = (fixing / "train.py").read_text()
    (fixing / "train.py").write_text(f"{staged}# two\n")
    (fixing / "other.py").write_text(MISUSE)
    run = pre_commit(fixing, home)
    assert run.returncode == 1
    assert (fixing / "train.py").read_text() == f"{FIXED}# two\n"
    assert (fixing / "other.py").read_text() == MISUSE


def test_a_fix_that_meets_what_is_not_staged_is_rolled_back(fixing: Path, home: Path) -> None:
    mine = (fixing / "train.py").read_text().replace("model.eval", "model.eval  # mine")
    (fixing / "train.py").write_text(mine)
    run = pre_commit(fixing, home)
    assert run.returncode == 1
    assert (fixing / "train.py").read_text() == mine


MODELS = """
from torch import nn

def good(): return nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4))
def bad(): return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
"""
TABLE = '[[tool.normfix.models]]\ntarget = "nets.py:{name}"\ninput = ["2x3x8x8"]\n'


@pytest.mark.parametrize(("name", "code"), [("good", 0), ("bad", 1)], ids=["nothing-found", "a-bias-before-its-norm"])
def test_the_models_of_a_project_are_checked_in_its_own_environment(
    hooks: tuple[Path, str], tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    pytest.importorskip("torch")
    git(tmp_path, "init", "-q")
    config = CONFIG.format(repo=hooks[0], rev=hooks[1], hook="normfix-models")
    (tmp_path / ".pre-commit-config.yaml").write_text(config)
    (tmp_path / "nets.py").write_text(MODELS)
    (tmp_path / "pyproject.toml").write_text(TABLE.format(name=name))
    git(tmp_path, "add", ".")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    run = pre_commit(tmp_path, home)
    assert run.returncode == code, run.stdout + run.stderr
    assert ("NF301" in run.stdout) == bool(code)
