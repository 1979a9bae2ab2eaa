"""TARGET on the command line: what cannot be loaded says so in one sentence."""

import sys

import pytest
import torch

from normfix.errors import UsageError
from normfix.readers.target import load, load_batches, parse_inputs, reader_of

SOURCE = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, width=4, depth=1):
        super().__init__(*(nn.Conv2d(width, width, 1) for _ in range(depth)))

net = Net(2)
width = 3

def make(width): return Net(width)
def broken(): raise ValueError("no such weights")
def number(): return 3
def leave(): raise SystemExit("usage: make")
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A current folder that holds `pkg/nets.py`, and whose modules are forgotten afterwards."""
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").touch()
    (tmp_path / "pkg" / "nets.py").write_text(SOURCE)
    (tmp_path / "pkg" / "relative.py").write_text("from .nets import Net\n")
    (tmp_path / "lone_nets.py").write_text(SOURCE)
    (tmp_path / "fails_here.py").write_text("import no_such_package_at_all\n")
    (tmp_path / "garbled_here.py").write_text("def (:\n")
    (tmp_path / "json.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("pkg", "lone_nets", "batches_here", "fails_here", "garbled_here"):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("listed", [1, 2], id="a-list"),
        pytest.param("generated", [1, 2], id="a-function"),
        pytest.param(
            "failing", "cannot call `batches_here.py:failing`: ValueError: no data", id="a-function-that-fails"
        ),
        pytest.param("Named", "gives no batches", id="a-class-of-something-else"),
        pytest.param("one", "a `torch.Tensor` gives no batches", id="one-batch-only"),
        pytest.param("missing", "there is no `missing`", id="no-such-name"),
    ],
)
def test_batches(folder, name, expected):
    (folder / "batches_here.py").write_text(
        "import torch\n\nlisted = [1, 2]\none = torch.ones(2)\n\nclass Named: ...\n\n"
        "def generated():\n    yield from listed\n\ndef failing():\n    raise ValueError('no data')\n"
    )
    if isinstance(expected, list):
        assert list(load_batches(f"batches_here.py:{name}")) == expected
        return
    with pytest.raises(UsageError) as caught:
        load_batches(f"batches_here.py:{name}")
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("target", "kwargs", "message"),
    [
        pytest.param("pkg.nets", {}, "expected `package.module:name`", id="no-colon"),
        pytest.param("pkg.nets:", {}, "expected `package.module:name`", id="no-name"),
        pytest.param("pkg.none:Net", {}, "No module named 'pkg.none'", id="no-such-module"),
        pytest.param("none.py:Net", {}, "there is no file `none.py`", id="no-such-file"),
        pytest.param("fails_here:Net", {}, "no_such_package_at_all", id="import-fails"),
        pytest.param("garbled_here.py:Net", {}, "SyntaxError", id="syntax-error"),
        pytest.param("pkg.nets:Nett", {}, "did you mean `Net`", id="misspelt-name"),
        pytest.param("pkg.nets:Net.layers", {}, "there is no `layers`", id="misspelt-nested-name"),
        pytest.param("pkg.nets:width", {}, "it is a `int`", id="neither-module-nor-factory"),
        pytest.param("pkg.nets:number", {}, "made a `builtins.int`", id="factory-of-something-else"),
        pytest.param("pkg.nets:broken", {}, r"ValueError: no such weights .*nets.py:12\)", id="factory-raises"),
        pytest.param("pkg.nets:leave", {}, "SystemExit: usage: make", id="factory-exits"),
        pytest.param("pkg.nets:make", {}, "missing 1 required positional argument", id="argument-missing"),
        pytest.param("pkg.nets:make", {"wide": 1}, "unexpected keyword", id="unknown-argument"),
        pytest.param("pkg.nets:net", {"width": 1}, "it is a module already", id="arguments-for-an-instance"),
    ],
)
def test_refused_with_the_reason(folder, target, kwargs, message):
    with pytest.raises(UsageError, match=message):
        load(target, kwargs)


@pytest.mark.parametrize(
    ("target", "kwargs", "layers"),
    [
        pytest.param("pkg.nets:net", {}, 1, id="instance"),
        pytest.param("pkg.nets:Net", {"depth": 3}, 3, id="class-with-arguments"),
        pytest.param("pkg.nets:make", {"width": 2}, 1, id="factory"),
        pytest.param("lone_nets.py:Net", {}, 1, id="file"),
        pytest.param("pkg/relative.py:Net", {}, 1, id="file-in-a-package-with-relative-imports"),
        pytest.param("json.py:Net", {}, 1, id="file-with-the-name-of-another-module"),
        pytest.param("torch.nn:Sequential", {}, 0, id="installed-package"),
    ],
)
def test_loaded(folder, target, kwargs, layers):
    assert len(load(target, kwargs)) == layers


def test_two_files_of_one_name_are_two_models(folder):
    for version, width in (("old", 3), ("new", 5)):
        (folder / version).mkdir()
        (folder / version / "lone_blocks.py").write_text(f"WIDTH = {width}\n")
        (folder / version / "lone_model.py").write_text(
            "from lone_blocks import WIDTH\nfrom torch import nn\nnet = nn.Linear(WIDTH, 1)\n"
        )
    assert load("old/lone_model.py:net").in_features == 3
    assert load("new/lone_model.py:net").in_features == 5
    assert load("old/lone_model.py:net").in_features == 3


@pytest.mark.parametrize(
    ("target", "reader"),
    [
        ("pkg.nets:Net", "model"),
        ("nets.py:Net", "model"),
        ("a/b.onnx", "onnx"),
        ("b.pt2", "pt2"),
        ("c.safetensors", "state"),
        ("c.pt", "state"),
        ("c.pth", "state"),
        ("model.safetensors.index.json", "state"),
    ],
)
def test_the_suffix_tells_the_reader(target, reader):
    assert reader_of(target) == reader


def test_what_has_no_reader_is_refused():
    with pytest.raises(UsageError, match=r"cannot tell what `nets\.py` is"):
        reader_of("nets.py")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        pytest.param("8x3xfoo", "expected sizes joined by x", id="no-number"),
        pytest.param("", "expected sizes joined by x", id="empty"),
        pytest.param("8,3", "expected sizes joined by x", id="commas"),
        pytest.param("8x0", "at least 1", id="empty-size"),
        pytest.param("8x-3", "at least 1", id="negative-size"),
        pytest.param("8x3:float33", "no dtype `float33`", id="unknown-dtype"),
        pytest.param("8x3:nn", "no dtype `nn`", id="a-name-of-torch-that-is-no-dtype"),
        pytest.param("99999999x99999999", "cannot make the input", id="too-large"),
    ],
)
def test_inputs_refused(word, message):
    with pytest.raises(UsageError, match=message):
        parse_inputs([word])


def test_inputs():
    image, tokens, mask = parse_inputs(["8x3x4x4", "2x16:int64", "2x16:bool"])
    assert (image.shape, image.dtype) == ((8, 3, 4, 4), torch.float32)
    assert (tokens.dtype, mask.dtype) == (torch.int64, torch.bool)
    assert torch.equal(image, parse_inputs(["8x3x4x4"])[0])
