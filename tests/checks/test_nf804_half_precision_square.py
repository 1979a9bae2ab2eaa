"""NF804 half-precision-square: look-alikes first, then the misuse in its spellings."""

import pytest
from source_findings import fires, silent

from normfix.checks import nf804_half_precision_square as rule


def norm(*lines: str, name: str = "RMSNorm", base: str = "nn.Module", method: str = "forward") -> str:
    body = "".join(f"        {line}\n" for line in lines)
    return f"class {name}({base}):\n    def {method}(self, x):\n{body}"


SQUARE = "return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(norm("x = x.float()", SQUARE), id="float()"),
        pytest.param(norm("x = x.to(torch.float32)", SQUARE), id="float32"),
        pytest.param(norm("with torch.autocast('cuda', enabled=False):", "    " + SQUARE), id="autocast"),
        pytest.param(
            norm(SQUARE, method="_norm") + "    def forward(self, x):\n        return self._norm(x.float())",
            id="the caller converts",
        ),
        pytest.param(
            norm("return self._norm(x.float())", name="Base") + norm(SQUARE, base="Base", method="_norm"),
            id="the forward of a base converts",
        ),
        pytest.param(norm(SQUARE, name="PixelNorm"), id="pixel norm"),
        pytest.param(norm(SQUARE, name="Attention"), id="no norm"),
        pytest.param(norm(SQUARE, base="object"), id="no module"),
        pytest.param(norm("return F.rms_norm(x, x.shape[-1:])"), id="functional"),
        pytest.param(norm("return x / x.norm(dim=-1)"), id="no square"),
        pytest.param(norm("return self.scale.pow(2).mean() * x"), id="the square of something else"),
        pytest.param(norm("return x.pow(3).mean()"), id="a cube"),
        pytest.param("def rms_norm(x):\n    return x.pow(2).mean(-1)", id="a function"),
        pytest.param(
            norm("return x / x.pow(2).mean(1, keepdim=True).sqrt()", name="ChannelScaleNorm"),
            id="a norm of another name over channels",
        ),
        pytest.param(norm("return x.pow(2).mean(-1)", name="SquaredNorm"), id="no root is taken"),
    ],
)
def test_silent(text: str) -> None:
    silent(rule, text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(norm(SQUARE + "  # here"), id="pow"),
        pytest.param(norm("return x / torch.sqrt(torch.mean(x ** 2, -1, keepdim=True) + 1e-6)  # here"), id="power"),
        pytest.param(norm("return x * torch.rsqrt((x * x).mean(-1, keepdim=True))  # here"), id="product"),
        pytest.param(norm("ms = x.square().mean(-1, keepdim=True)  # here", "return x * ms.rsqrt()"), id="square"),
        pytest.param(norm("ms = torch.square(x).mean(-1)  # here", "return x * ms.rsqrt()"), id="torch.square"),
        pytest.param(
            norm("m = x.mean(-1)", "v = (x - m).pow(2).mean(-1)  # here", "return x", name="LayerNorm2d"),
            id="layer norm",
        ),
        pytest.param(
            norm("return x * self._rms(x)") + "    def _rms(self, y):\n"
            "        return y.pow(2).mean(-1).rsqrt()  # here",
            id="in a helper",
        ),
        pytest.param(
            norm(
                "s = (x ** 2).mean(dim=-1, keepdim=True)  # here",
                "return self.w * x / torch.sqrt(s + 1e-6)",
                name="T5Norm",
            ),
            id="a class that is called otherwise",
        ),
    ],
)
def test_found(text: str) -> None:
    fires(rule, text, "warning")
