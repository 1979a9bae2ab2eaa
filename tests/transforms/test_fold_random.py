"""Random networks: fold never changes the eval output in float64, and never alters the model it was given.

NORMFIX_EXAMPLES sets how many are tried (500 in CI).
"""

from __future__ import annotations

import copy
import os

import torch
from hypothesis import HealthCheck, given, settings
from random_networks import networks

from normfix.proof.measure import distance
from normfix.transforms.drop_bias import drop_bias
from normfix.transforms.fold import fold

EXAMPLES = int(os.environ.get("NORMFIX_EXAMPLES", "500" if os.environ.get("CI") else "60"))
X = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
relaxed = settings(
    deadline=None,
    max_examples=EXAMPLES,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)


@given(networks())
@relaxed
def test_fold_changes_neither_the_output_nor_the_model(model):
    state = copy.deepcopy(model.state_dict())
    expected = copy.deepcopy(model)(X)
    done = fold(model, X, prove="none")
    assert distance([part.detach() for part in expected], [part.detach() for part in done.model(X)]) <= 1e-10
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    norms = [module for module in model.modules() if hasattr(module, "running_mean")]
    assert len(done.applied) + len(done.refused) == len(norms)


@given(networks())
@settings(relaxed, max_examples=max(EXAMPLES // 5, 1))
def test_drop_bias_changes_neither_mode(model):
    done = drop_bias(model, X, prove="none")
    expected = copy.deepcopy(model)(X)
    assert distance([part.detach() for part in expected], [part.detach() for part in done.model(X)]) <= 1e-8
