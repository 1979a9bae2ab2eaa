"""A capture shows one batch size and one set of arguments: what others do is looked at, or said."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transform_networks import chain, conv, image, lambda_of, rows

from normfix.proof.inputs import batches
from normfix.rewrites import ProofFailed
from normfix.transforms.fold import fold


class Sized(nn.BatchNorm1d):
    """Normalises batches only."""

    def forward(self, x):
        return super().forward(x) if x.shape[0] > 1 else x


def test_a_norm_that_a_batch_of_one_passes_by_stays():
    model = lambda_of(
        lambda m, x: m.bn(m.fc(x)) if x.shape[0] > 1 else m.fc(x), fc=nn.Linear(4, 5), bn=nn.BatchNorm1d(5)
    )
    done = fold(model.double(), rows(), prove="formula")
    assert done.applied == [] and "for a batch of 1: forward takes another way" in done.refused[0].reason


@pytest.mark.parametrize(
    ("skips", "given", "level", "tried"),
    [
        pytest.param(lambda n: n % 2, 2, "formula", 1, id="odd-batches"),
        pytest.param(lambda n: n > 2, 2, "formula", 3, id="more-than-two"),
        pytest.param(lambda n: n % 4 and n > 1, 4, "formula", 2, id="no-whole-clip"),
        pytest.param(lambda n: n > 4, 4, "full", 8, id="more-than-the-given"),
    ],
)
def test_a_norm_that_batches_of_some_sizes_pass_by_stays(skips, given, level, tried):
    model = lambda_of(
        lambda m, x: m.fc(x) if skips(len(x)) else m.bn(m.fc(x)), fc=nn.Linear(4, 5), bn=nn.BatchNorm1d(5)
    )
    done = fold(model.double(), rows(batch=given), prove=level)
    assert done.applied == [] and f"for a batch of {tried}: forward takes another way" in done.refused[0].reason


def test_clips_are_tried_in_a_batch_of_twice_as_many_frames():
    model = lambda_of(
        lambda m, x: m.bn(m.fc(x)).reshape(-1, 4, 5).mean(1), fc=nn.Linear(4, 5), bn=nn.BatchNorm1d(5)
    ).double()
    proof = fold(model, rows(batch=4), prove="formula").proof
    assert proof.holds and "batch of 8" in {trial.inputs for trial in proof.trials}


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [
        pytest.param((1, 5), [2, 3], id="one"),
        pytest.param((2, 5), [1, 3], id="two"),
        pytest.param((3, 5), [1, 2], id="three"),
        pytest.param((8, 5), [1, 2, 3, 16], id="eight"),
        pytest.param((8, 3, 224, 224), [1, 2, 3], id="sixteen-images-are-many"),
        pytest.param((1, 3, 512, 512), [2], id="three-large-images-too"),
    ],
)
def test_batches_that_are_tried(shape, sizes):
    assert [len(family.args[0]) for family in batches((torch.zeros(shape),), {})] == sizes


def test_a_norm_that_looks_at_its_batch_stays():
    done = fold(chain(nn.Linear(4, 5), Sized(5)).double(), rows(), prove="none")
    assert done.applied == [] and "does more than normalise" in done.refused[0].reason


def test_another_way_without_modules_fails_the_proof():
    model = lambda_of(
        lambda m, x: m.bn(m.fc(x)) * (1 if x.shape[0] > 1 else m.fc.weight.sum()),
        fc=nn.Linear(4, 5), bn=nn.BatchNorm1d(5),
    ).double()  # fmt: skip
    with pytest.raises(ProofFailed, match="batch of 1"):
        fold(model, rows(), prove="formula")


def test_a_model_of_one_batch_size_is_folded():
    model = lambda_of(lambda m, x: m.bn(m.c(x)).reshape(2, -1), c=conv(), bn=nn.BatchNorm2d(4)).double()
    done = fold(model, image(), prove="formula")
    assert len(done.applied) == 1 and done.proof.holds


def test_an_example_of_one_sample_is_tried_with_two():
    model = chain(nn.Linear(4, 5), nn.BatchNorm1d(5)).double()
    done = fold(model, rows()[:1], prove="formula")
    assert "batch of 2" in {trial.inputs for trial in done.proof.trials}


class Optional(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = chain(conv(), nn.BatchNorm2d(4))

    def forward(self, x, features_only=False):
        return x if features_only else self.body(x)


def test_arguments_left_at_their_default_are_named():
    done = fold(Optional().eval(), image().float(), prove="formula")
    assert any("`features_only`" in note for note in done.notes)
    assert fold(Optional().eval(), (image().float(), torch.tensor(0).item()), prove="none").notes == []
