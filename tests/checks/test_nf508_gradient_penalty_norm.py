"""NF508 gradient-penalty-norm: look-alikes first, then the misuse in its spellings."""

import pytest
from source_findings import NET, PLAIN, fires, silent

from normfix.checks import nf508_gradient_penalty_norm as rule

CRITIC = NET.replace("Net", "Critic")
GRAD = "torch.autograd.grad(out, x, torch.ones_like(out), create_graph=True)[0]"


def penalty(grad: str = GRAD, norm: str = "((g.norm(2, 1) - 1) ** 2).mean()", critic: str = "critic") -> str:
    return f"def penalty({critic}, x):\n    out = {critic}(x)\n    g = {grad}\n    return {norm}\n"


USE = "critic = Critic()\nloss = penalty(critic, x)\n"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(CRITIC.replace("Batch", "Instance") + penalty() + USE, id="instance norm"),
        pytest.param(PLAIN.replace("Net", "Critic") + penalty() + USE, id="no norm"),
        pytest.param(NET + PLAIN.replace("Net", "Critic") + penalty() + USE, id="batch norm in the generator only"),
        pytest.param(penalty() + USE, id="a critic that is not seen"),
        pytest.param(CRITIC + penalty(GRAD.replace(", create_graph=True", "")) + USE, id="no second order"),
        pytest.param(CRITIC + penalty(norm="g.sum()") + USE, id="no norm of the gradient"),
        pytest.param(CRITIC + penalty(norm="g.pow(2).sum() - 1") + USE, id="a square without its root"),
        pytest.param(CRITIC + "out = critic(x)\nout.backward()", id="an ordinary GAN"),
        pytest.param("import pytest\n" + CRITIC + penalty() + USE, id="a unit test"),
        pytest.param(CRITIC + penalty() + "critic = build()\nloss = penalty(critic, x)", id="another critic"),
        pytest.param(CRITIC + PLAIN.replace("Net", "Discriminator") + penalty(), id="two critics, and none is named"),
    ],
)
def test_silent(text: str) -> None:
    silent(rule, text)


HERE = GRAD + "  # here"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(CRITIC + penalty(HERE) + USE, id="handed in"),
        pytest.param(CRITIC + penalty(HERE), id="the only critic of the file"),
        pytest.param(
            CRITIC + penalty(HERE, "((torch.sqrt(torch.sum(g**2, 1) + 1e-12) - 1) ** 2).mean()") + USE,
            id="the norm by hand",
        ),
        pytest.param(CRITIC.replace("Critic", "Discriminator") + penalty(HERE, critic="D"), id="discriminator"),
        pytest.param(
            CRITIC + USE.replace("loss = penalty(critic, x)\n", "") + penalty(HERE).replace("(critic, x)", "(x)", 1),
            id="a global",
        ),
        pytest.param(
            CRITIC + "from torch import autograd\n" + penalty(HERE.replace("torch.autograd", "autograd")) + USE,
            id="autograd by name",
        ),
        pytest.param(
            CRITIC
            + penalty("torch.autograd.grad(outputs=out, inputs=x, create_graph=True, retain_graph=True)[0]  # here")
            + USE,
            id="keywords",
        ),
        pytest.param(
            CRITIC + "class T:\n    def __init__(self):\n        self.critic = Critic()\n    def penalty(self, x):\n"
            f"        out = self.critic(x)\n        g = {HERE}\n        return (g.norm(2, 1) - 1).square()",
            id="attributes",
        ),
        pytest.param(
            CRITIC + "class T:\n    def __init__(self):\n        self.critic = Critic()\n"
            "    def penalty(self, x):\n        out = self.critic(x)\n"
            "        g = torch.autograd.grad(out.sum(), x, create_graph=True)[0]  # here\n"
            "        return ((g.norm(2, 1) - 1) ** 2).mean()\n",
            id="a sum of the outputs of an attribute",
        ),
        pytest.param(
            CRITIC + penalty(HERE) + "def main():\n    critic = Critic().to(device)\n    return penalty(critic, x)\n",
            id="built and moved by the caller",
        ),
    ],
)
def test_found(text: str) -> None:
    fires(rule, text, "warning")
