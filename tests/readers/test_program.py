"""Saved programs: broken and hostile files are refused, layers come back with what the operators tell."""

import json
import os
import pickle
import re
import zipfile

import pytest
import torch
from torch import nn

from normfix.errors import UsageError
from normfix.readers.no_code import is_plain
from normfix.readers.program import load, read


def saved(path, training=False):
    model = nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.BatchNorm2d(8, eps=1e-3), nn.ReLU(), nn.GroupNorm(2, 8))
    model.train(training)
    torch.export.save(torch.export.export(model, (torch.randn(2, 4, 8, 8),)), path)
    return str(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "no such file", id="missing"),
        pytest.param(b"", "no exported program", id="empty"),
        pytest.param(b"PK\x03\x04 nothing", "no exported program", id="garbage"),
    ],
)
def test_refused(tmp_path, content, message):
    path = tmp_path / "a.pt2"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        load(str(path))


def test_a_cut_off_file_is_refused(tmp_path):
    path = tmp_path / "half.pt2"
    saved(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(UsageError, match="cut off"):
        load(str(path))


class Command:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return os.system, (f"touch {self.witness}",)


def rewritten(tmp_path, edit, more=()):
    """A saved program with its entries changed by `edit(name, content)`, and with more entries."""
    good, bad = tmp_path / "good.pt2", tmp_path / "bad.pt2"
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    batch = ({0: torch.export.Dim("batch", min=2, max=64)},)
    torch.export.save(torch.export.export(model, (torch.randn(2, 3, 8, 8),), dynamic_shapes=batch), good)
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(bad, "w") as target:
        for entry in source.infolist():
            target.writestr(entry, edit(entry.filename, source.read(entry)))
        for name, content in more:
            target.writestr(f"good/{name}", content)
    return str(bad)


def pickled_tensors(tmp_path, witness):
    torch.save({"x": Command(witness)}, tmp_path / "evil.bin")
    evil = (tmp_path / "evil.bin").read_bytes()
    return rewritten(tmp_path, lambda name, content: evil if name.endswith(".pt") else content)


def pickled_constant(tmp_path, witness):
    entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    config = json.dumps({"config": {"x": entry}}).encode()
    return rewritten(
        tmp_path,
        lambda name, content: config if name.endswith("constants_config.json") else content,
        [("data/constants/opaque_obj_0", pickle.dumps(Command(witness)))],
    )


def computed_size(tmp_path, witness):
    size = f"__import__('os').system('touch {witness}')"
    text = re.compile(r'"expr_str": ?"[^"]*"')
    return rewritten(
        tmp_path,
        lambda name, content: (
            text.sub(f'"expr_str": "{size}"', content.decode()).encode()
            if name.endswith("models/model.json")
            else content
        ),
    )


def edited(tmp_path, edit):
    """A saved program whose text was changed by `edit(program)`."""

    def change(name, content):
        if not name.endswith("models/model.json"):
            return content
        program = json.loads(content)
        edit(program)
        return json.dumps(program).encode()

    return rewritten(tmp_path, change)


def command(witness):
    return f"__import__('os').system('touch {witness}')"


def signature(program):
    return program["graph_module"]["module_call_graph"][0]["signature"]


def guard(tmp_path, witness):
    return edited(tmp_path, lambda program: program.update(guards_code=[command(witness)]))


def argument_name(tmp_path, witness):
    # It opens a text where the function begins, which ends where the name comes again.
    name = f"input, z={command(witness)}):\n    '''#"
    return edited(tmp_path, lambda program: signature(program).update(forward_arg_names=[name]))


def tensor_name(tmp_path, witness):
    def rename(name, content):
        return content.replace(b'"input"', json.dumps(f"input={command(witness)}").encode())

    return rewritten(tmp_path, rename)


def parameter_path(tmp_path, witness):
    def edit(program):
        spec = program["graph_module"]["signature"]["input_specs"][0]
        spec["parameter"]["parameter_name"] = f'0"), {command(witness)}, ("'

    return edited(tmp_path, edit)


def called(target, kind, value):
    def make(tmp_path, witness):
        def edit(program):
            argument = {"name": "", "arg": {kind: value}, "kind": 1}
            program["graph_module"]["graph"]["nodes"][0].update(target=target, inputs=[argument])

        return edited(tmp_path, edit)

    return make


def imported_module(tmp_path, witness):
    context = json.dumps([{"__enum__": True, "fqn": "antigravity:geohash", "name": "x"}])
    leaf = {"type": None, "context": None, "children_spec": []}
    spec = json.dumps([1, {"type": "builtins.dict", "context": context, "children_spec": [leaf]}])
    return edited(tmp_path, lambda program: signature(program).update(out_spec=spec))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(argument_name, "a name that is none", id="name-of-an-argument"),
        pytest.param(tensor_name, "a name that is none", id="name-of-a-tensor"),
        pytest.param(parameter_path, "a path that is none", id="name-of-a-parameter"),
        pytest.param(called("torch.os.system", "as_string", "true"), "an operator that is none", id="function"),
        pytest.param(
            called("torch.ops.higher_order.wrap", "as_operator", "torch.os.system"),
            "an operator that is none",
            id="function-handed-to-an-operator",
        ),
        pytest.param(
            called("torch.ops.aten.from_file.default", "as_string", "x"), "an operator that is none", id="opens-a-file"
        ),
        pytest.param(imported_module, "a module to import", id="imported-module"),
        pytest.param(pickled_tensors, "more than tensors", id="pickled-tensors"),
        pytest.param(pickled_constant, "a pickled object", id="pickled-constant"),
        pytest.param(computed_size, "a size that is no expression", id="computed-size"),
    ],
)
def test_code_in_a_program_is_not_run(tmp_path, make, message):
    path = make(tmp_path, tmp_path / "witness")
    with pytest.raises(UsageError, match=f"it holds {message}.*is not executed"):
        load(path)
    assert not (tmp_path / "witness").exists()


def test_guards_are_not_run(tmp_path):
    load(guard(tmp_path, tmp_path / "witness")).module()(torch.randn(2, 3, 8, 8))
    assert not (tmp_path / "witness").exists()


def test_a_program_with_guards_runs(tmp_path):
    sizes = ({0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO},)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    program = torch.export.export(model, (torch.randn(2, 3, 8, 8),), dynamic_shapes=sizes)
    torch.export.save(program, tmp_path / "a.pt2")
    inputs = torch.randn(3, 3, 12, 8)
    torch.testing.assert_close(load(str(tmp_path / "a.pt2")).module()(inputs), model(inputs))


@pytest.mark.parametrize(
    "text", ["Symbol('s31', positive=True, integer=True)", "2*Max(1, Symbol('s0')) + 3", "s0 - 1", "Ne(Integer(3), 2)"]
)
def test_sizes_are_expressions(text):
    assert is_plain(text, {})


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("__import__('os')", id="call-of-a-builtin"),
        pytest.param("(1).__class__", id="attribute"),
        pytest.param("Add('exit()')", id="text-that-sympy-evaluates"),
        pytest.param("(lambda: 1)()", id="lambda"),
        pytest.param("[x for x in s0]", id="loop"),
        pytest.param("s0 +", id="syntax"),
        pytest.param("__builtins__", id="hidden-name"),
    ],
)
def test_sizes_are_no_code(text):
    assert not is_plain(text, {})


def test_sizes_that_are_expressions_are_read(tmp_path):
    path = rewritten(tmp_path, lambda name, content: content)
    assert load(path).range_constraints
    assert not (tmp_path / "witness").exists()


@pytest.mark.parametrize("training", [False, True], ids=["eval", "training"])
def test_layers_and_modes_come_back(tmp_path, training):
    graph = read(saved(tmp_path / "a.pt2", training))
    assert [call.kind for call in graph.calls] == ["input", "Conv2d", "BatchNorm2d", "ReLU", "GroupNorm"]
    conv, norm, _, group = graph.layers
    assert norm.number("eps") == 1e-3
    assert (conv.integer("in_channels"), conv.integer("out_channels"), conv.integer("groups")) == (4, 8, 2)
    assert group.integer("num_groups") == 2
    assert graph.calls[2].training is training
    assert len(norm.state["running_var"].values()) == 8
