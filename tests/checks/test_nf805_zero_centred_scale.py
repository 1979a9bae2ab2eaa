"""NF805 zero-centred-scale: look-alikes first, then the misuse in its spellings."""

import pytest
from source_findings import fires, silent

from normfix.checks import nf805_zero_centred_scale as rule


def own(body: str, layer: str = "nn.BatchNorm2d(8)") -> str:
    head = "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        nn.BatchNorm2d"
    return f"{head}\n        self.bn = {layer}\n        {body}\n"


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
        pytest.param(own("nn.init.normal_(self.bn.weight, 1.0, 0.02)"), id="an attribute, around one"),
        pytest.param(own("nn.init.normal_(self.bn.bias, 0.0, 0.02)"), id="the shift of an attribute"),
        pytest.param(own("nn.init.normal_(self.bn.weight, 0.0, 0.02)", "nn.Conv2d(8, 8, 1)"), id="a convolution"),
        pytest.param(own("nn.init.normal_(self.bn.weight, 0.0, 0.02)", "norm(8)"), id="an attribute that is not known"),
        pytest.param(
            own("nn.init.normal_(self.bn.weight, 0.0, 0.02)", "nn.BatchNorm2d(8) if x else nn.Linear(8, 8)"),
            id="one of two",
        ),
        pytest.param(own("self.bn = nn.Linear(8, 8)\n        self.bn.weight.data.normal_(0, 1)"), id="set again"),
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
        pytest.param(own("nn.init.normal_(self.bn.weight, std=0.02)  # here"), id="an attribute"),
        pytest.param(own("self.bn.weight.data.normal_(0, 0.02)  # here"), id="an attribute, in place"),
        pytest.param(own("nn.init.kaiming_normal_(self.bn.weight)  # here"), id="an attribute, which raises"),
    ],
)
def test_found(text: str) -> None:
    fires(rule, text, "info")
