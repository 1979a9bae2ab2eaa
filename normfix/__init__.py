"""Finds misused normalization layers in PyTorch code and models, rewrites models, and proves every rewrite.

    report = normfix.lint(["src"])                      # no torch needed
    report = normfix.check(model, example_inputs)
    rewrite = normfix.fold(model, example_inputs)

Importing normfix imports neither torch nor libcst: each name loads its module when it is first used.
"""

TYPE_CHECKING = False  # typing takes 2.5 ms to import; type checkers know this name

if TYPE_CHECKING:
    from normfix.checking.run import check as check
    from normfix.errors import UsageError as UsageError
    from normfix.findings import Finding as Finding
    from normfix.findings import Report as Report
    from normfix.findings import Severity as Severity
    from normfix.linting.run import lint as lint
    from normfix.linting.run import lint_source as lint_source
    from normfix.proof import Proof as Proof
    from normfix.proof import ProofFailed as ProofFailed
    from normfix.proof import verify as verify
    from normfix.rewrites import Change as Change
    from normfix.rewrites import Refusal as Refusal
    from normfix.rewrites import Rewrite as Rewrite
    from normfix.transforms.drop_bias import drop_bias as drop_bias
    from normfix.transforms.fold import fold as fold
    from normfix.transforms.migrate import migrate as migrate
    from normfix.transforms.swap import swap as swap

__version__ = "0.1.0"

_HOMES = {
    "check": "normfix.checking.run",
    "UsageError": "normfix.errors",
    "Finding": "normfix.findings",
    "Report": "normfix.findings",
    "Severity": "normfix.findings",
    "lint": "normfix.linting.run",
    "lint_source": "normfix.linting.run",
    "Proof": "normfix.proof",
    "ProofFailed": "normfix.proof",
    "verify": "normfix.proof",
    "Change": "normfix.rewrites",
    "Refusal": "normfix.rewrites",
    "Rewrite": "normfix.rewrites",
    "drop_bias": "normfix.transforms.drop_bias",
    "fold": "normfix.transforms.fold",
    "migrate": "normfix.transforms.migrate",
    "swap": "normfix.transforms.swap",
}

__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'normfix' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
