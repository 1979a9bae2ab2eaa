"""Old checkpoints for new models: the same eval output in float64, or an error that says what does not fit."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from transform_networks import conv, image, randomise

from normfix.errors import UsageError
from normfix.readers import checkpoint
from normfix.transforms import checkpoints, saving
from normfix.transforms.migrate import migrate


def network(bias: bool, norm=nn.BatchNorm2d) -> nn.Module:
    torch.manual_seed(2)
    return randomise(nn.Sequential(conv(bias=bias), norm(4), nn.ReLU(), conv(bias=True), nn.Flatten())).double()


def test_a_bias_that_is_gone_moves_into_the_running_mean():
    old = network(bias=True)
    nn.init.normal_(old[0].bias)
    new = network(bias=False)
    before = copy.deepcopy(old.state_dict())
    done = migrate(old.state_dict(), new, image())
    new.load_state_dict(done.state, strict=True)
    torch.testing.assert_close(new(image()), old(image()), rtol=0, atol=1e-10)
    assert [change.where for change in done.applied] == ["0"]
    assert all(torch.equal(value, before[name]) for name, value in old.state_dict().items())


def test_training_goes_on_as_it_would_have():
    old, new = network(bias=True), network(bias=False)
    new.load_state_dict(migrate(old.state_dict(), new, image()).state)
    torch.testing.assert_close(new.train()(image()), old.train()(image()), rtol=0, atol=1e-10)
    torch.testing.assert_close(new.eval()(image()), old.eval()(image()), rtol=0, atol=1e-10)


def test_a_bias_that_the_model_keeps_is_not_touched():
    old, new = network(bias=True), network(bias=False)
    assert torch.equal(migrate(old.state_dict(), new, image()).state["3.bias"], old[3].bias)


def test_statistics_of_a_norm_that_keeps_none_are_dropped():
    old, new = network(bias=True), network(bias=True, norm=lambda channels: nn.GroupNorm(2, channels))
    done = migrate(old.state_dict(), new)
    new.load_state_dict(done.state, strict=True)
    assert [change.what for change in done.applied] == ["statistics dropped, since a GroupNorm keeps none"]


def test_old_checkpoints_know_no_num_batches_tracked():
    old = network(bias=True)
    state = {name: value for name, value in old.state_dict().items() if "num_batches" not in name}
    assert int(migrate(state, network(bias=True)).state["1.num_batches_tracked"]) == 0


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        pytest.param(lambda state: state.pop("3.weight"), "`3.weight` is missing", id="key-missing"),
        pytest.param(lambda state: state.update(extra=torch.zeros(1)), "`extra` has no place", id="key-too-many"),
        pytest.param(lambda state: state.update({"3.bias": torch.zeros(9)}), r"not \(4,\)", id="shape-differs"),
    ],
)
def test_what_does_not_fit_is_an_error(spoil, words):
    state = dict(network(bias=True).state_dict())
    spoil(state)
    with pytest.raises(UsageError, match=words):
        migrate(state, network(bias=True), image())


def test_a_bias_that_no_norm_subtracts_cannot_go():
    old = nn.Sequential(conv(), nn.ReLU()).double()
    new = nn.Sequential(conv(bias=False), nn.ReLU()).double()
    with pytest.raises(UsageError, match="no norm subtracts"):
        migrate(old.state_dict(), new, image())


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda state: state, id="plain"),
        pytest.param(lambda state: {"state_dict": state}, id="nested"),
        pytest.param(lambda state: {f"module.{k}": v for k, v in state.items()}, id="data-parallel-prefix"),
    ],
)
def test_checkpoints_come_back_as_they_were_written(tmp_path, suffix, wrap):
    state = network(bias=True).state_dict()
    path = str(tmp_path / f"model{suffix}")
    if suffix == ".safetensors":
        saving.save_state(state, path)
    else:
        torch.save(wrap(dict(state)), path)
    found = checkpoints.read(path)
    assert found.keys() == state.keys() and all(torch.equal(found[name], state[name]) for name in state)


class Bomb:
    def __reduce__(self):
        return print, ("boom",)


def test_a_checkpoint_with_code_in_it_is_refused_and_not_run(tmp_path, capsys):
    torch.save({"a": Bomb()}, tmp_path / "evil.pt")
    with pytest.raises(UsageError, match=r"cannot read .* it holds more than tensors .*, which is not executed"):
        checkpoints.read(str(tmp_path / "evil.pt"))
    assert "boom" not in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_damaged_checkpoint_is_refused_in_the_words_of_check(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"garbage\n")
    with pytest.raises(UsageError, match="or cut off") as checked:
        checkpoint.read(str(path))
    with pytest.raises(UsageError) as migrated:
        checkpoints.read(str(path))
    assert str(migrated.value) == str(checked.value) and "\n" not in str(checked.value)


@pytest.mark.parametrize("name", ["none.pt", "model.txt"])
def test_a_file_that_is_no_checkpoint_is_an_error(tmp_path, name):
    (tmp_path / "model.txt").write_text("x")
    with pytest.raises(UsageError, match="cannot read"):
        checkpoints.read(str(tmp_path / name))


def test_a_model_in_half_precision_does_not_round_the_checkpoint():
    old = network(bias=True).float().state_dict()
    new = network(bias=False).half()
    done = migrate(old, new, image().half())
    means = [name for name, tensor in done.state.items() if not torch.equal(tensor, old[name])]
    assert means == ["1.running_mean"] and {t.dtype for t in done.state.values()} == {torch.float32, torch.int64}
    torch.testing.assert_close(done.state["1.running_mean"], old["1.running_mean"] - old["0.bias"])


class Noted(nn.BatchNorm2d):
    def get_extra_state(self):
        return {"note": "kept"}

    def set_extra_state(self, state):
        self.note = state["note"]


def test_extra_state_is_carried_over(tmp_path):
    old, new = (nn.Sequential(conv(bias=bias), Noted(4)).double().eval() for bias in (True, False))
    path = str(tmp_path / "old.pt")
    torch.save(old.state_dict(), path)
    done = migrate(checkpoints.read(path), new, image())
    new.load_state_dict(done.state)
    assert new[1].note == "kept"
    with pytest.raises(UsageError, match=r"`1\._extra_state` is no tensor, which only \.pt can hold"):
        saving.save_state(done.state, str(tmp_path / "new.safetensors"))


def test_what_is_beside_the_state_dict_is_named(tmp_path):
    state = network(bias=True).state_dict()
    path = str(tmp_path / "run.pt")
    torch.save({"epoch": 3, "state_dict": {**state, "note": "x"}, "optimizer": {}, "state_dict_ema": state}, path)
    found, rest = checkpoints.read_with_rest(path)
    assert found.keys() == state.keys() and rest == ["epoch", "optimizer", "state_dict_ema", "note"]


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_prefixes_of_wrappers_are_taken_off(tmp_path, prefix):
    state = network(bias=True).state_dict()
    torch.save({f"{prefix}{name}": value for name, value in state.items()}, tmp_path / "a.pt")
    assert checkpoints.read(str(tmp_path / "a.pt"), state).keys() == state.keys()


def test_a_prefix_that_the_model_has_itself_stays(tmp_path):
    state = {f"module.{name}": value for name, value in network(bias=True).state_dict().items()}
    torch.save(state, tmp_path / "a.pt")
    assert checkpoints.read(str(tmp_path / "a.pt"), state).keys() == state.keys()
