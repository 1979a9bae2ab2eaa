"""NF102 keras-momentum in live models: said once for all layers of one kind and momentum."""

import pytest
from torch import nn

from normfix import engine
from normfix.checks import nf102_keras_momentum as rule
from normfix.findings import Finding
from normfix.readers.model import capture


def check(*layers: nn.Module) -> list[Finding]:
    facts = engine.Facts("model")
    return engine.run(facts, [rule.keras_momentum], [capture(nn.Sequential(*layers)).graph]).findings


@pytest.mark.parametrize(
    ("layers", "modules"),
    [
        pytest.param([nn.BatchNorm2d(4), nn.BatchNorm2d(4)], [], id="torch's own momentum"),
        pytest.param(
            [nn.BatchNorm2d(4, momentum=0.99, track_running_stats=False) for _ in range(2)],
            [],
            id="nothing that momentum moves",
        ),
        pytest.param([nn.BatchNorm2d(4, momentum=0.99) for _ in range(52)], ["0"], id="one cause, said once"),
        pytest.param(
            [nn.BatchNorm2d(4, momentum=one) for one in (0.1, 0.99, 0.9, 0.99)], ["1", "2"], id="another momentum"
        ),
        pytest.param([nn.BatchNorm2d(4, momentum=0.99), nn.BatchNorm1d(4, momentum=0.99)], ["0", "1"], id="a kind"),
        pytest.param(
            [nn.BatchNorm2d(4, momentum=0.99, track_running_stats=one) for one in (False, True)],
            ["1"],
            id="the first does not count where it has no statistics",
        ),
    ],
)
def test_once_for_each_cause(layers: list[nn.Module], modules: list[str]) -> None:
    assert [one.module for one in check(*layers)] == modules


def test_the_message_counts_the_others() -> None:
    one, two, many = (check(*(nn.BatchNorm2d(4, momentum=0.99) for _ in range(count)))[0] for count in (1, 2, 52))
    assert one.message.startswith("`0` replaces 0.99 of its running statistics")
    assert two.message.startswith("`0` and 1 other BatchNorm2d layer replace 0.99 of their running statistics")
    assert many.message.startswith("`0` and 51 other BatchNorm2d layers replace 0.99 of their running statistics")
