"""The public names, and what importing them costs."""

import subprocess
import sys

import pytest

import normfix

HEAVY = ("torch", "libcst", "onnx", "onnxruntime", "numpy", "rich", "jinja2")


@pytest.mark.parametrize(
    "program", ["import normfix", "import normfix; normfix.lint; normfix.lint_source; normfix.Report"]
)
def test_importing_the_linter_loads_nothing_heavy(program: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not set(HEAVY) & set(run.stdout.split())


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'normfix' has no attribute 'fuse'"):
        normfix.fuse  # noqa: B018  # the access is what is tested


@pytest.mark.parametrize("name", normfix.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(normfix, name) is not None
    assert name in dir(normfix)
