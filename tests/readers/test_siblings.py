"""Where an imported block is defined, among the files beside a source."""

from pathlib import Path

import pytest

from normfix.readers import scripts
from normfix.readers.siblings import Siblings

FILES = {
    "train.py": "",
    "model.py": "class Net: pass\n",
    "broken.py": "class (:\n",
    "latin.py": b"# \xe9\nclass Net: pass\n",
    "loop.py": "from loop import Net\n",
    "pkg/__init__.py": "from .blocks import Block\nfrom .gone import Gone\nfrom .blocks import make as build\n",
    "pkg/blocks.py": "class Block: pass\ndef make(): pass\n",
    "pkg/sub/__init__.py": "",
    "pkg/sub/deep.py": "",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return tmp_path


def found(folder: Path, path: str, name: str) -> str | None:
    answer = Siblings().finder(str(folder / path))(name)
    return f"{Path(answer[0].path).relative_to(folder).as_posix()}: {answer[1]}" if answer else None


@pytest.mark.parametrize(
    ("path", "name"),
    [
        pytest.param("train.py", "torch.nn.Conv2d", id="a library"),
        pytest.param("train.py", "other.Net", id="no such file"),
        pytest.param("train.py", "model.Other", id="no such name"),
        pytest.param("train.py", "broken.Net", id="a syntax error"),
        pytest.param("train.py", "latin.Net", id="not UTF-8"),
        pytest.param("train.py", "loop.Net", id="imports that go round"),
        pytest.param("train.py", "pkg.Gone", id="re-exported from nowhere"),
        pytest.param("train.py", "Net", id="no module"),
    ],
)
def test_not_found(folder: Path, path: str, name: str) -> None:
    assert found(folder, path, name) is None


@pytest.mark.parametrize(
    ("path", "name", "expected"),
    [
        pytest.param("train.py", "model.Net", "model.py: Net", id="beside it"),
        pytest.param("train.py", "pkg.blocks.make", "pkg/blocks.py: make", id="in a package"),
        pytest.param("train.py", "pkg.Block", "pkg/blocks.py: Block", id="re-exported"),
        pytest.param("train.py", "pkg.build", "pkg/blocks.py: make", id="re-exported under another name"),
        pytest.param("pkg/sub/deep.py", "..blocks.Block", "pkg/blocks.py: Block", id="relative, one up"),
        pytest.param("pkg/sub/deep.py", "..Block", "pkg/blocks.py: Block", id="relative and re-exported"),
        pytest.param(
            "pkg/sub/deep.py", "pkg.blocks.Block", "pkg/blocks.py: Block", id="absolute from inside the package"
        ),
    ],
)
def test_found(folder: Path, path: str, name: str, expected: str) -> None:
    assert found(folder, path, name) == expected


def test_a_file_is_read_once_and_its_path_is_recorded(folder: Path) -> None:
    siblings = Siblings()
    script = siblings.attach(scripts.read("from model import Net\n", str(folder / "train.py")))
    first, second = script.sibling("model.Net"), script.sibling("model.Net")
    assert first is not None and second is not None and first[0] is second[0]
    assert siblings.used(str(folder / "train.py")) == [str(folder / "model.py")]


def test_only_the_latest_stay_in_memory(folder: Path) -> None:
    siblings = Siblings(size=1)
    find = siblings.finder(str(folder / "train.py"))
    first = find("model.Net")
    find("pkg.blocks.make")
    second = find("model.Net")
    assert first is not None and second is not None and first[0] is not second[0]


def test_what_is_not_there_takes_no_place_among_the_scripts_that_are_kept(folder: Path) -> None:
    siblings = Siblings(size=1)
    find = siblings.finder(str(folder / "pkg" / "sub" / "deep.py"))
    first = find("pkg.Block")
    assert [find(name) for name in ("gone.Net", "pkg.gone.Net", "...gone.Net")] == [None] * 3
    assert first is not None
    assert find("..blocks.make") == (first[0], "make")
