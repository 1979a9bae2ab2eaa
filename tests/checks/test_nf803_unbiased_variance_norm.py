"""NF803 unbiased-variance-norm: look-alikes first, then the misuse in its spellings."""

import pytest
from source_findings import fires, silent

from normfix.checks import nf803_unbiased_variance_norm as rule


def norm(*lines: str, name: str = "LayerNorm", base: str = "nn.Module", method: str = "forward") -> str:
    body = "".join(f"        {line}\n" for line in lines)
    return f"class {name}({base}):\n    def {method}(self, x):\n        mean = x.mean(-1, keepdim=True)\n{body}"


RESULT = "return self.a * (x - mean) / (std + self.eps) + self.b"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            norm("var = x.var(-1, unbiased=False)", "return (x - mean) / torch.sqrt(var + self.eps)"), id="biased"
        ),
        pytest.param(
            norm("var = x.var(-1, unbiased = False)", "return (x - mean) / torch.sqrt(var + 1)"), id="odd spacing"
        ),
        pytest.param(
            norm("var = x.var(-1, correction=0)", "return (x - mean) * torch.rsqrt(var + 1e-5)"), id="correction"
        ),
        pytest.param(
            norm("var = torch.var(x, -1, False)", "return (x - mean) * torch.rsqrt(var + 1e-5)"), id="positional"
        ),
        pytest.param(
            norm("var = ((x - mean) ** 2).mean(-1)", "return (x - mean) / torch.sqrt(var + 1e-5)"), id="by hand"
        ),
        pytest.param(norm("std = x.std(-1)", RESULT, name="Policy"), id="not named a norm"),
        pytest.param(norm("std = x.std(-1)", RESULT, base="object"), id="no module"),
        pytest.param(norm("std = x.std(-1)", RESULT, method="fit"), id="not the forward"),
        pytest.param(norm("self.last = x.std(-1)", "return x - mean"), id="only recorded"),
        pytest.param(norm("var = x.var(-1)", "return (x - mean) * (var + 1e-5) ** 2"), id="another power"),
        pytest.param(
            norm("var = x.var(-1, correction=0)", "return (x - mean) * (var + 1e-5).rsqrt()"), id="biased, as a method"
        ),
        pytest.param(
            norm("std = self.weight.std(-1)", "return F.linear(x, self.weight / std)", name="WeightNormLinear"),
            id="weight standardisation",
        ),
        pytest.param(
            norm(
                "if self.fresh:",
                "    spread = F.linear(x, self.v).var(0)",
                "    self.scale.data.copy_(1 / torch.sqrt(spread + 1e-10))",
                "return F.linear(x, self.v, self.bias) * self.scale",
                name="WeightNormDense",
            ),
            id="a weight norm that sets its scale by its first batch",
        ),
        pytest.param("def advantages(x):\n    return (x - x.mean()) / (x.std() + 1e-8)", id="returns and advantages"),
        pytest.param(
            "class VarianceNorm(nn.Module):\n    def forward(self, x):\n"
            "        return x * torch.rsqrt(x.var(-1, keepdim=True) + self.eps)",
            id="a norm that does not centre has no counterpart in torch",
        ),
        pytest.param(norm("return F.layer_norm(x, x.shape[-1:])"), id="functional"),
        pytest.param(norm("import numpy as np", "return x / np.std(x)"), id="numpy"),
        pytest.param(
            norm("std = torch.clamp(x.std(-1), 1e-8)", "return (x - mean) / std", name="NormalizeBatch"),
            id="data scaled before the network, by a class that learns nothing",
        ),
        pytest.param(
            norm("std = self.running.std()", "return self.weight * (x - mean) / std", name="RunningNorm"),
            id="a method of another object",
        ),
    ],
)
def test_silent(text: str) -> None:
    silent(rule, text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(norm("std = x.std(-1, keepdim=True)  # here", RESULT), id="the annotated transformer"),
        pytest.param(norm("std = torch.std(x, -1, keepdim=True)  # here", RESULT), id="torch.std"),
        pytest.param(
            norm("var = x.var(dim=-1)  # here", "return (x - mean) / torch.sqrt(var + 1e-5)"), id="var and root"
        ),
        pytest.param(norm("var = x.var(-1)  # here", "return (x - mean) * torch.rsqrt(var + 1e-5)"), id="rsqrt"),
        pytest.param(
            norm("var = x.var(1)  # here", "return (x - mean) * (var + 1e-5).rsqrt()"), id="rsqrt, as a method"
        ),
        pytest.param(
            norm("var = torch.var(x, dim=1)  # here", "return (x - mean) * (var + 1e-5) ** -0.5"), id="a power"
        ),
        pytest.param(norm("return (x - mean) / (x.std(-1) + self.eps)  # here"), id="in one line"),
        pytest.param(
            norm("std = x.std(-1)  # here", "return self.gain * (x - mean) / std", name="Normalize"),
            id="another name, but it learns a gain",
        ),
        pytest.param(
            norm("var, mean = torch.var_mean(x, -1)  # here", "return (x - mean) / (var + 1e-5).sqrt()"), id="both"
        ),
        pytest.param(norm("std = x.std(-1, unbiased=False)", RESULT + "  # here"), id="eps outside the root"),
        pytest.param(
            norm("std = x.view(8, -1).std(1)  # here", RESULT, name="AdaptiveInstanceNorm"), id="instance norm"
        ),
    ],
)
def test_found(text: str) -> None:
    fires(rule, text, "info")
