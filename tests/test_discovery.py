"""Which files a run looks at."""

import os
import subprocess
from pathlib import Path

import pytest

from normfix import UsageError, cli
from normfix.linting.discovery import find


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("b.py", "a.py", "n.ipynb", "w.pyw", "t.txt", "pkg/c.py", "pkg/.venv/d.py", "node_modules/e.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return tmp_path


def test_sources_sorted_without_the_folders_of_tools(tree: Path) -> None:
    assert find(["."]) == ["a.py", "b.py", "n.ipynb", "w.pyw", "pkg/c.py"]


def test_paths_are_reported_as_they_were_given(tree: Path) -> None:
    assert find(["pkg", "./b.py", str(tree / "a.py")]) == ["pkg/c.py", "./b.py", str(tree / "a.py")]


def test_a_file_of_any_name_may_be_named(tree: Path) -> None:
    assert find(["t.txt"]) == ["t.txt"]


@pytest.mark.parametrize("path", ["pkg/.venv", "node_modules/e.py"])
def test_what_is_named_is_looked_at_wherever_it_is(path: str, tree: Path) -> None:
    assert len(find([path])) == 1


EXCLUDED = {
    "a name": (["c.py"], ["a.py", "b.py", "n.ipynb", "w.pyw"]),
    "a folder": (["pkg"], ["a.py", "b.py", "n.ipynb", "w.pyw"]),
    "a folder with a slash": (["pkg/"], ["a.py", "b.py", "n.ipynb", "w.pyw"]),
    "a path": (["./pkg/*.py"], ["a.py", "b.py", "n.ipynb", "w.pyw"]),
    "a pattern": (["*.py", "*.pyw"], ["n.ipynb"]),
    "everything": (["*"], []),
    "nothing that is there": (["zzz"], ["a.py", "b.py", "n.ipynb", "w.pyw", "pkg/c.py"]),
}


@pytest.mark.parametrize("exclude, expected", EXCLUDED.values(), ids=EXCLUDED)
def test_exclude(exclude: list[str], expected: list[str], tree: Path) -> None:
    assert find(["."], exclude) == expected


def test_named_files_are_excluded_only_by_force(tree: Path) -> None:
    assert find(["pkg/c.py"], ["pkg"]) == ["pkg/c.py"]
    assert find(["pkg/c.py", "a.py"], ["pkg"], force_exclude=True) == ["a.py"]
    assert cli.main(["lint", "--force-exclude", "--exclude", "pkg", "pkg/c.py"]) == 0


@pytest.mark.parametrize("path", ["nowhere", "nowhere.py"])
def test_a_missing_path(path: str, tree: Path) -> None:
    with pytest.raises(UsageError, match=f"`{path}`: no such file or directory"):
        find([path])


def test_a_pipe_is_refused_by_name_for_its_end_may_never_come(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo("x.py")
    assert cli.main(["lint", "--no-cache", "x.py"]) == 2
    assert capsys.readouterr().err.startswith("error: cannot read `x.py`: it is a pipe")


def test_a_pipe_among_files_is_passed_by(tree: Path) -> None:
    os.mkfifo("pkg/x.py")
    Path("pkg/y.py").symlink_to("x.py")
    assert find(["pkg"]) == ["pkg/c.py"]


def test_a_file_is_looked_at_once_by_its_own_name(tree: Path) -> None:
    Path("pkg/a_link.py").symlink_to("c.py")
    Path("linked").symlink_to("pkg")
    assert find(["linked", "pkg"]) == ["linked/c.py"]
    assert find(["pkg"]) == ["pkg/c.py"]


def test_links_to_one_file_are_looked_at_once(tree: Path) -> None:
    Path("pkg/one.py").symlink_to("../a.py")
    Path("pkg/two.py").symlink_to("../a.py")
    assert find(["pkg"]) == ["pkg/c.py", "pkg/one.py"]


def test_a_file_in_a_linked_folder_is_looked_at_once(tree: Path) -> None:
    Path("linked").symlink_to("pkg")
    Path("pkg/link.py").symlink_to("c.py")
    assert find(["linked/c.py", "pkg/c.py", "./linked/../pkg/c.py", "linked/link.py"]) == ["linked/c.py"]


def test_a_directory_without_python(tree: Path) -> None:
    (tree / "docs" / "deep").mkdir(parents=True)
    with pytest.raises(UsageError, match="no Python file or notebook in the directory `docs`"):
        find(["docs"])


@pytest.fixture
def repository(tree: Path) -> Path:
    subprocess.run(["git", "init", "-q"], cwd=tree, check=True)
    return tree


IGNORED = {
    "a name": ({".gitignore": "c.py\n"}, ["a.py", "b.py", "n.ipynb", "w.pyw"]),
    "a folder": ({".gitignore": "pkg/\n"}, ["a.py", "b.py", "n.ipynb", "w.pyw"]),
    "only at the root": ({".gitignore": "/c.py\n/b.py\n"}, ["a.py", "n.ipynb", "w.pyw", "pkg/c.py"]),
    "taken back": ({".gitignore": "*.py\n!a.py\n"}, ["a.py", "n.ipynb", "w.pyw"]),
    "taken back further down": (
        {".gitignore": "*.py\n", "pkg/.gitignore": "!c.py\n"},
        ["n.ipynb", "w.pyw", "pkg/c.py"],
    ),
    "for this clone only": ({".git/info/exclude": "b.py\n"}, ["a.py", "n.ipynb", "w.pyw", "pkg/c.py"]),
}


@pytest.mark.parametrize("files, expected", IGNORED.values(), ids=IGNORED)
def test_gitignore(files: dict[str, str], expected: list[str], repository: Path) -> None:
    for name, text in files.items():
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text(text)
    assert find(["."]) == expected


def test_the_gitignore_above_the_folder_counts(repository: Path) -> None:
    (repository / ".gitignore").write_text("c.py\n")
    assert find(["pkg", "a.py"]) == ["a.py"]


def test_an_ignored_folder_that_is_named_is_walked(repository: Path) -> None:
    (repository / ".gitignore").write_text("pkg/\n")
    assert find(["pkg"]) == ["pkg/c.py"]


def test_the_gitignore_above_a_repository_does_not_count(tree: Path) -> None:
    (tree / ".gitignore").write_text("*.py\n")
    subprocess.run(["git", "init", "-q", "pkg"], cwd=tree, check=True)
    assert find(["pkg"]) == ["pkg/c.py"]


@pytest.mark.skipif(os.name == "nt", reason="symlinks need rights on Windows")
def test_a_loop_of_links_ends(tree: Path) -> None:
    (tree / "pkg" / "loop").symlink_to(tree / "pkg")
    assert find(["pkg"]) == ["pkg/c.py"]


@pytest.mark.parametrize("named", [".", "pkg"])
def test_a_folder_that_cannot_be_listed_is_not_passed_over(
    tree: Path, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = os.scandir

    def scandir(path: str) -> object:
        if Path(path).name == "pkg":
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert "pkg" in find([named])
    assert "pkg/c.py" not in find([named])


def test_a_bad_configuration_is_told_before_the_work_is_given_away(tree: Path) -> None:
    (tree / "pkg" / "pyproject.toml").write_text("[tool.normfix]\nselct = []\n")
    for named in ("pkg", "pkg/c.py"):
        with pytest.raises(UsageError, match="unknown key `selct`"):
            find([named])
