"""Batch norms swapped in source; what cannot be told from source stays, with the reason."""

import subprocess
import sys
from pathlib import Path

import pytest

from normfix.errors import UsageError
from normfix.fixes.swap_source import SourceSwap, swap_source

HEAD = "from functools import partial\n\nimport torch.nn as nn\n\n\n"


def swapped(folder: Path, text: str, kind: str = "group", where: str | None = None) -> SourceSwap:
    path = folder / "net.py"
    path.write_text(text)
    return swap_source(str(path), kind, where=where)


@pytest.mark.parametrize(
    ("line", "kind", "reason"),
    [
        pytest.param("nn.LazyBatchNorm2d()", "group", "lazy", id="lazy: no width yet"),
        pytest.param("nn.BatchNorm2d(*sizes)", "group", "starred", id="starred arguments"),
        pytest.param("nn.BatchNorm2d(8, **options)", "group", "starred", id="options may hold momentum"),
        pytest.param("nn.BatchNorm1d(1)", "group", "one element", id="a group of one element"),
        pytest.param("nn.BatchNorm2d()", "group", "width", id="no width"),
        pytest.param("nn.BatchNorm1d(8)", "instance", "BatchNorm1d", id="InstanceNorm1d reads (N, C) as unbatched"),
        pytest.param("nn.SyncBatchNorm(8)", "instance", "SyncBatchNorm", id="a sync norm has no rank"),
        pytest.param("nn.BatchNorm3d(8)", "frozen_batch", "BatchNorm3d", id="frozen ones are 2d"),
        pytest.param("isinstance(m, nn.BatchNorm2d)", "group", "asked for", id="isinstance"),
        pytest.param("isinstance(m, (nn.BatchNorm2d, nn.Linear))", "group", "asked for", id="isinstance of several"),
        pytest.param("{'bn': nn.BatchNorm2d}", "group", "handed on", id="a table of classes"),
        pytest.param("partial(nn.BatchNorm2d, 64)", "group", "positional", id="a partial with a width"),
        pytest.param("nn.BatchNorm2d(\n  8, momentum=0.1,  # why\n  eps=1)", "group", "comment", id="a comment lost"),
    ],
)
def test_what_source_cannot_swap_stays_with_its_reason(tmp_path: Path, line: str, kind: str, reason: str) -> None:
    result = swapped(tmp_path, f"{HEAD}x = {line}\n", kind)
    assert not result.changed and (tmp_path / "net.py").read_text() == f"{HEAD}x = {line}\n"
    [refusal] = result.refused
    assert reason in refusal.reason and refusal.where.endswith("net.py:6 x")


def test_a_class_derived_from_a_norm_stays(tmp_path: Path) -> None:
    [refusal] = swapped(tmp_path, f"{HEAD}class Mine(nn.BatchNorm2d): ...\n").refused
    assert "`Mine`" in refusal.reason


def test_a_factory_that_is_given_a_momentum_stays(tmp_path: Path) -> None:
    text = f"{HEAD}def f(norm_layer=nn.BatchNorm2d):\n    return norm_layer(8, momentum=0.1)\n"
    [refusal] = swapped(tmp_path, text).refused
    assert "`momentum`" in refusal.reason


def test_norms_of_other_libraries_stay(tmp_path: Path) -> None:
    result = swapped(tmp_path, "from apex import BatchNorm2d\n\nx = BatchNorm2d(8)\n")
    assert not result.changed and not result.refused


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("def f(:\n", "invalid syntax", id="a syntax error"),
        pytest.param(f"{HEAD}def _groups(): ...\nx = nn.BatchNorm2d(c)\n", "`_groups`", id="the name is taken"),
        pytest.param("def f(c):\n    import torch.nn as nn\n    x = nn.BatchNorm2d(c)\n", "import", id="no import"),
    ],
)
def test_a_file_that_cannot_be_swapped_is_an_error_and_stays(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        swapped(tmp_path, text)
    assert (tmp_path / "net.py").read_text() == text


def test_a_kind_that_source_cannot_tell_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="rank"):
        swapped(tmp_path, HEAD, "batch")


def test_no_groups_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least one group"):
        swap_source(str(tmp_path / "net.py"), "group", groups=0)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        swap_source(str(tmp_path / "gone.py"), "group")


@pytest.mark.parametrize(
    ("old", "kind", "new"),
    [
        pytest.param("nn.BatchNorm2d(64)", "group", "nn.GroupNorm(32, 64)", id="the largest divisor up to 32"),
        pytest.param("nn.BatchNorm2d(72)", "group", "nn.GroupNorm(24, 72)", id="72 channels"),
        pytest.param("nn.BatchNorm2d(7)", "group", "nn.GroupNorm(7, 7)", id="7 channels"),
        pytest.param("nn.BatchNorm1d(32)", "group", "nn.GroupNorm(16, 32)", id="two channels a group on (N, C)"),
        pytest.param("nn.SyncBatchNorm(24)", "group", "nn.GroupNorm(12, 24)", id="a sync norm may be on (N, C)"),
        pytest.param(
            "nn.BatchNorm2d(64, 1e-3, 0.01, True)", "group", "nn.GroupNorm(32, 64, 1e-3, True)", id="all by position"
        ),
        pytest.param(
            "nn.BatchNorm2d(momentum=None, num_features=64, eps=1e-3)",
            "group",
            "nn.GroupNorm(32, num_channels=64, eps=1e-3)",
            id="all by keyword",
        ),
        pytest.param(
            "nn.SyncBatchNorm(64, process_group=g)", "group", "nn.GroupNorm(32, 64)", id="a sync norm loses its group"
        ),
        pytest.param("nn.BatchNorm2d(64)", "layer", "nn.GroupNorm(1, 64)", id="layer: one group"),
        pytest.param("nn.BatchNorm2d(f(c))", "instance", "nn.InstanceNorm2d(f(c), affine=True)", id="instance"),
        pytest.param(
            "nn.BatchNorm3d(c, 1e-3, 0.1, False)", "instance", "nn.InstanceNorm3d(c, 1e-3, affine=False)", id="affine"
        ),
        pytest.param(
            "f(\n    nn.Conv2d(3, 8, 3),  # ü\n    nn.BatchNorm2d(\n        8,\n        momentum=0.1,\n    ),\n)",
            "group",
            "f(\n    nn.Conv2d(3, 8, 3),  # ü\n    nn.GroupNorm(\n        8,\n        8,\n    ),\n)",
            id="one a line",
        ),
    ],
)
def test_a_constructor_is_swapped_in_its_own_layout(tmp_path: Path, old: str, kind: str, new: str) -> None:
    result = swapped(tmp_path, f"{HEAD}x = {old}\n", kind)
    assert (tmp_path / "net.py").read_text() == result.new == f"{HEAD}x = {new}\n"
    assert not result.refused and len(result.applied) == 1


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("group", "nn.GroupNorm(_groups(c), c, **dd)"),
        ("instance", "nn.InstanceNorm2d(c, **dd, affine=True)"),
        ("layer", "nn.GroupNorm(1, c, **dd)"),
    ],
)
def test_options_that_are_written_out_stay(tmp_path: Path, kind: str, expected: str) -> None:
    options = "dd = {'device': device, 'dtype': dtype}"
    other = "def g():\n    dd = h()\n\n\n"
    text = f"{HEAD}{other}def f(c, device, dtype):\n    {options}\n    return nn.BatchNorm2d(c, **dd)\n"
    result = swapped(tmp_path, text, kind)
    assert result.new.endswith(f"    return {expected}\n") and not result.refused


def test_options_that_the_new_norm_does_not_take_are_named(tmp_path: Path) -> None:
    [refusal] = swapped(tmp_path, f"{HEAD}x = nn.BatchNorm2d(8, **{{'momentum': 0.01}})\n").refused
    assert "its options hold `momentum`" in refusal.reason


def test_annotations_are_passed_over_in_silence(tmp_path: Path) -> None:
    text = (
        f"{HEAD}class Net(nn.Module):\n    bn: nn.BatchNorm2d\n\n"
        "    def norm(self, like: type[nn.BatchNorm2d] | None = None) -> nn.BatchNorm2d | None:\n"
        "        self.bn: nn.BatchNorm2d = nn.BatchNorm2d(64)\n"
    )
    result = swapped(tmp_path, text)
    assert not result.refused and [change.what for change in result.applied] == ["BatchNorm2d -> GroupNorm"]
    assert result.new == text.replace("nn.BatchNorm2d(64)", "nn.GroupNorm(32, 64)")


def test_what_reads_running_statistics_is_named(tmp_path: Path) -> None:
    text = f"{HEAD}bn = nn.BatchNorm2d(8)\n\n\ndef fuse(layer):\n    return layer.running_var + 1\n"
    [refusal] = swapped(tmp_path, text).refused
    assert refusal.where.endswith(" fuse") and "`running_var`" in refusal.reason
    assert not swapped(tmp_path, text, "frozen_batch").refused
    assert not swapped(tmp_path, text.replace("nn.BatchNorm2d(8)", "None")).refused


def test_other_hard_links_are_named(tmp_path: Path) -> None:
    path, other = tmp_path / "net.py", tmp_path / "other.py"
    path.write_text(f"{HEAD}x = nn.BatchNorm2d(8)\n")
    other.hardlink_to(path)
    [refusal] = swap_source(str(path), "group").refused
    assert "hard link" in refusal.reason and other.read_text().endswith("nn.BatchNorm2d(8)\n")


def test_frozen_norms_are_imported(tmp_path: Path) -> None:
    result = swapped(tmp_path, f"{HEAD}x = nn.BatchNorm2d(8, 1e-3, momentum=0.1)\n", "frozen_batch")
    assert "nn as nn\nfrom torchvision.ops import FrozenBatchNorm2d\n" in result.new
    assert result.new.endswith("x = FrozenBatchNorm2d(8, 1e-3)\n")


def test_a_class_that_was_imported_by_name_is_replaced_in_the_import(tmp_path: Path) -> None:
    result = swapped(tmp_path, "from torch.nn import BatchNorm2d as BN, Conv2d\nx = BN(32)\n")
    assert result.new == "from torch.nn import GroupNorm, Conv2d\nx = GroupNorm(32, 32)\n"


def test_an_imported_class_that_is_still_used_stays_imported(tmp_path: Path) -> None:
    result = swapped(tmp_path, "from torch.nn import BatchNorm2d\nx = BatchNorm2d(32)\ny = BatchNorm2d()\n")
    assert result.new.startswith(
        "from torch.nn import BatchNorm2d, GroupNorm\nx = GroupNorm(32, 32)\ny = BatchNorm2d()"
    )


def test_only_what_the_pattern_names_is_swapped(tmp_path: Path) -> None:
    text = (
        f"{HEAD}class Net(nn.Module):\n    def __init__(self):\n"
        "        self.bn1 = nn.BatchNorm2d(8)\n        self.head = nn.BatchNorm2d(8)\n"
    )
    for pattern in ("Net.bn*", "bn1"):
        result = swapped(tmp_path, text, where=pattern)
        assert [change.where.split()[-1] for change in result.applied] == ["Net.bn1"]
        assert "self.head = nn.BatchNorm2d(8)" in result.new


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    first = swapped(tmp_path, f"{HEAD}def f(c, norm_layer=nn.BatchNorm2d):\n    return nn.BatchNorm2d(c)\n")
    again = swapped(tmp_path, first.new)
    assert first.changed and not again.changed and not again.applied


def test_the_helper_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    first = swapped(tmp_path, f"{HEAD}def f(c):\n    return nn.BatchNorm2d(c)\n")
    path.write_text(f"{first.new}\n\ndef g(c):\n    return nn.BatchNorm2d(c)\n")
    again = swap_source(str(path), "group")
    assert again.changed and again.new.count("def _groups") == 1


def test_the_model_is_converted_before_it_is_distributed(tmp_path: Path) -> None:
    text = (
        "import torch\nfrom torch.nn.parallel import DistributedDataParallel as DDP\n\n\ndef wrap(model):\n"
        "    model = DDP(model, device_ids=[0])\n    return DDP(\n        build().cuda()  # fresh\n    )\n"
    )
    convert = "torch.nn.SyncBatchNorm.convert_sync_batchnorm"
    expected = text.replace("    model = DDP", f"    model = {convert}(model)\n    model = DDP")
    expected = expected.replace("build().cuda()", f"{convert}(build().cuda())")
    result = swapped(tmp_path, text, "sync_batch")
    assert result.new == expected
    [refusal] = {refusal.reason for refusal in swapped(tmp_path, expected, "sync_batch").refused}
    assert "already" in refusal


@pytest.mark.parametrize(
    ("line", "name"),
    [
        pytest.param("from mmcv.parallel import MMDistributedDataParallel", "MMDistributedDataParallel", id="mmcv"),
        pytest.param("from utils.torch_utils import smart_DDP", "smart_DDP", id="a helper"),
        pytest.param("from torch.nn.parallel import DistributedDataParallel as Wrap", "", id="torch's own"),
        pytest.param("from engine import set_up", "", id="no such name"),
    ],
)
def test_a_wrapper_of_another_library_is_named(tmp_path: Path, line: str, name: str) -> None:
    called = line.rpartition(" ")[2]
    result = swapped(
        tmp_path, f"import torch\n{line}\n\n\ndef wrap(model):\n    return {called}(model)\n", "sync_batch"
    )
    assert [refusal.reason.partition("`")[2].partition("`")[0] for refusal in result.refused] == [name] * bool(name)
    assert result.changed == (called == "Wrap")


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("wrap = lambda m: DDP({})", id="a parameter of a lambda"),
        pytest.param("wrapped = [DDP({}) for m in models]", id="a name of a comprehension"),
        pytest.param("wrapped = DDP({}) if several else m", id="only on one side of a condition"),
        pytest.param("wrapped = (m := build()) and DDP({})", id="a name bound in the same statement"),
        pytest.param("with build() as m, DDP({}): ...", id="a name bound by the head of a with"),
        pytest.param("while DDP({}): ...", id="anew for each round"),
    ],
)
def test_a_model_not_at_its_statement_is_converted_where_it_stands(tmp_path: Path, line: str) -> None:
    text = f"import torch\nfrom torch.nn.parallel import DistributedDataParallel as DDP\n\n{line}\n"
    result = swapped(tmp_path, text.format("m"), "sync_batch")
    assert result.new == text.format("torch.nn.SyncBatchNorm.convert_sync_batchnorm(m)")


def test_swapped_source_builds_and_runs(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    text = (
        "import torch\nfrom functools import partial\nfrom torch import nn\n\n\nclass Net(nn.Module):\n"
        "    def __init__(self, width, norm_layer=None):\n        super().__init__()\n"
        "        norm_layer = norm_layer or partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)\n"
        "        self.layers = nn.Sequential(\n"
        "            nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), norm_layer(width),\n"
        "            nn.BatchNorm2d(int(width * 1.0), affine=False), nn.BatchNorm2d(48, 1e-3, None),\n        )\n"
        "        self.flat = nn.BatchNorm1d(width)\n\n    def forward(self, x):\n"
        "        x = self.layers(x)\n        return self.flat(x.mean((2, 3)))\n\n\n"
        "model = Net(48)\nassert torch.isfinite(model(torch.randn(2, 3, 8, 8))).all()\n"
        "print(sorted({type(m).__name__ for m in model.modules() if 'Norm' in type(m).__name__}),"
        " [m.eps for m in model.modules() if isinstance(m, nn.GroupNorm)], model.flat.num_groups)\n"
    )
    swapped(tmp_path, text)
    done = subprocess.run([sys.executable, tmp_path / "net.py"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['GroupNorm'] [1e-05, 0.001, 1e-05, 0.001, 1e-05] 24"


NETWORK = """from torch import nn


class Net(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, bias=False)
        self.bn = nn.BatchNorm2d(width, momentum=0.05)
        self.conv2 = nn.Conv2d(width, 48, 3, bias=False)
        self.bn2 = nn.BatchNorm2d(48)

    def forward(self, x):
        x = self.bn(self.conv(x)).relu()
        return self.bn2(self.conv2(x)).mean((2, 3))
"""


@pytest.mark.parametrize("kind", ["group", "layer", "instance"])
def test_swapped_source_passes_lint_and_the_live_check(tmp_path: Path, kind: str) -> None:
    torch = pytest.importorskip("torch")
    from normfix import check, lint_source

    result = swapped(tmp_path, NETWORK, kind)
    assert len(result.applied) == 2 and not lint_source(result.new, "net.py").findings
    names: dict[str, object] = {}
    exec(compile(result.new, "net.py", "exec"), names)
    report = check(names["Net"](), torch.randn(4, 3, 12, 12))  # type: ignore[operator]
    assert not [finding for finding in report.findings if str(finding.severity) != "info"] and not report.errors
