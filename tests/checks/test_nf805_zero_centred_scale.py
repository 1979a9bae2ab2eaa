"""NF805 zero-centred-scale: look-alikes first, then the misuse in its spellings."""

import pytest
from source_findings import fires, silent

from normfix.checks import nf805_zero_centred_scale as rule


def init(body: str, test: str = "isinstance(m, nn.BatchNorm2d)") -> str:
    return f"def init(m):\n    name = m.__class__.__name__\n    if {test}:\n        {body}\n"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(init("nn.init.normal_(m.weight, 1.0, 0.02)"), id="around one"),
        pytest.param(init("m.weight.data.normal_(1.0, 0.02)"), id="around one, in place"),
        pytest.param(init("nn.init.constant_(m.weight, 0)"), id="constant zero, for the last norm of a residual block"),
        pytest.param(init("nn.init.zeros_(m.weight)"), id="zeros"),
        pytest.param(init("nn.init.normal_(m.bias, 0.0, 0.02)"), id="the bias"),
        pytest.param(init("nn.init.normal_(m.weight, 0.0, 0.02)", "isinstance(m, nn.Conv2d)"), id="convolutions"),
        pytest.param(
            init("nn.init.normal_(m.weight, 0.0, 0.02)", "name.find('Conv') != -1"), id="convolutions by name"
        ),
        pytest.param(
            init("nn.init.normal_(m.weight, 0.0, 0.02)", "not isinstance(m, nn.BatchNorm2d)"), id="all others"
        ),
        pytest.param(init("nn.init.normal_(m.weight, 0.0, 0.02)", "name.find('BatchNorm') == -1"), id="others by name"),
        pytest.param(init("m.weight.data.uniform_()"), id="between zero and one"),
        pytest.param(init("nn.init.uniform_(m.weight, 0.5, 1.5)"), id="around one, uniform"),
        pytest.param(init("pass") + "    else:\n        nn.init.normal_(m.weight, 0, 0.02)\n", id="the other branch"),
        pytest.param(init("nn.init.normal_(m.weight, mean, 0.02)"), id="a mean that is computed"),
    ],
)
def test_silent(text: str) -> None:
    silent(rule, text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(init("nn.init.normal_(m.weight, 0.0, 0.02)  # here"), id="normal"),
        pytest.param(init("m.weight.data.normal_(0, 0.02)  # here"), id="in place"),
        pytest.param(init("nn.init.normal_(m.weight.data, std=0.02)  # here"), id="the default mean"),
        pytest.param(init("nn.init.trunc_normal_(m.weight, std=0.02)  # here"), id="truncated"),
        pytest.param(
            init("nn.init.normal_(m.weight, 0.0, 0.02)  # here", "isinstance(m, (nn.Conv2d, nn.BatchNorm2d))"),
            id="together with convolutions",
        ),
        pytest.param(
            init("nn.init.normal_(m.weight, 0.0, 0.02)  # here", "name.find('BatchNorm2d') != -1"), id="by name"
        ),
        pytest.param(
            init("nn.init.normal_(m.weight, 0.0, 0.02)  # here", "'BatchNorm' in name"), id="by part of the name"
        ),
        pytest.param(init("nn.init.xavier_normal_(m.weight)  # here"), id="xavier raises"),
        pytest.param(init("nn.init.uniform_(m.weight, -0.1, 0.1)  # here"), id="uniform around zero"),
    ],
)
def test_found(text: str) -> None:
    fires(rule, text, "info")
