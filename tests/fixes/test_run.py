"""Files of a lint run: written, left, shown."""

import os
import subprocess
from pathlib import Path

import pytest
from toy import linter

from normfix import fixes
from normfix.findings import Report, Safety, SetArgument
from normfix.fixes.rounds import Lint


def linted(paths: list[Path], lint: Lint) -> Report:
    report = Report()
    for path in paths:
        report.extend(lint(path.read_bytes().decode("latin-1"), str(path)))
    return report


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.py"
    path.write_bytes(b"conv(1)\r\nconv(*a)")
    return path


def test_a_fix_that_fails_its_checks_leaves_the_file(file: Path) -> None:
    lint = linter(lambda site: SetArgument(site, "groups", "1"))
    outcome = fixes.apply(linted([file], lint), lint)
    assert file.read_bytes() == b"conv(1)\r\nconv(*a)"
    assert (outcome.failed, outcome.changed) == (True, False)
    [failure] = outcome.report.errors
    assert failure.path == str(file) and "still found" in failure.reason
    assert len(outcome.report.findings) == 2


def test_a_file_that_changed_meanwhile_is_skipped_with_a_message(file: Path) -> None:
    def lint(text: str, path: str) -> Report:
        file.write_bytes(b"# edited\n")
        return linter()(text, path)

    outcome = fixes.apply(linted([file], linter()), lint)
    assert file.read_bytes() == b"# edited\n"
    assert "changed while" in outcome.report.errors[0].reason


def test_a_file_that_cannot_be_written_is_an_error_and_the_others_are_fixed(file: Path) -> None:
    other = file.with_name("b.py")
    other.write_bytes(b"conv(1)\n")
    file.chmod(0o444)
    outcome = fixes.apply(linted([file, other], linter()), linter())
    assert other.read_bytes() == b"conv(1, bias=False)\n"
    assert [failure.path for failure in outcome.report.errors] == [str(file)]


def test_other_hard_links_are_named(file: Path) -> None:
    other = file.with_name("b.py")
    os.link(file, other)
    outcome = fixes.apply(linted([file], linter()), linter())
    assert file.read_bytes() != other.read_bytes() == b"conv(1)\r\nconv(*a)"
    assert f"{file} had 1 other hard link: the old text is still there" in outcome.summary()


def test_a_text_that_no_file_holds_is_not_written(file: Path) -> None:
    report = linted([file], linter())
    report.sources[str(file)] = "conv(1)\n"
    assert not fixes.apply(report, linter()).files


def test_files_without_fixes_are_not_even_read(tmp_path: Path) -> None:
    lint = linter(safety=Safety.UNSAFE)
    report = lint("conv(1)\n", str(tmp_path / "gone.py"))
    outcome = fixes.apply(report, lint)
    assert (list(outcome.files), outcome.summary()) == ([], ["1 more finding can be fixed with `--unsafe-fixes`"])


def test_bytes_outside_the_call_stay(file: Path) -> None:
    file.write_bytes(b"# coding: latin-1\r\nx = '\xe9'; conv(1)  # \xfc\r\n\x0cy = 2\r")
    outcome = fixes.apply(linted([file], linter()), linter())
    assert file.read_bytes() == b"# coding: latin-1\r\nx = '\xe9'; conv(1, bias=False)  # \xfc\r\n\x0cy = 2\r"
    assert outcome.changed and not outcome.failed


def test_the_summary_says_what_was_fixed_and_what_was_left(file: Path) -> None:
    outcome = fixes.apply(linted([file], linter()), linter())
    assert outcome.summary() == [
        "Fixed 1 finding in 1 file:",
        f"  {file}: NF999 x 1",
        "Left 1 finding with a fix as it was:",
        f"  {file}:2:1: NF999 a starred argument may hold `bias` already",
    ]
    assert [finding.line for finding in outcome.report.findings] == [2]


def test_a_diff_writes_nothing_and_is_one_that_git_applies(file: Path) -> None:
    outcome = fixes.apply(linted([file], linter()), linter(), write=False)
    assert file.read_bytes() == b"conv(1)\r\nconv(*a)"
    assert (outcome.changed, outcome.summary()[0]) == (True, "Would fix 1 finding in 1 file:")
    diff = outcome.diff().replace(str(file), "a.py").encode()
    git = ["git", "apply", "-p0", "--unidiff-zero", "-"]
    subprocess.run(git, input=diff, cwd=file.parent, check=True, env={"PATH": "/usr/bin:/bin", "GIT_DIR": "/dev/null"})
    assert file.read_bytes() == b"conv(1, bias=False)\r\nconv(*a)"


ENCODINGS = (
    "utf-8 latin-1 iso-8859-15 cp1252 cp1251 koi8-r mac-roman euc-jp shift_jis iso2022_jp gbk big5 euc-kr".split()
)
NEWLINES = {"LF": "\n", "CRLF": "\r\n", "CR": "\r", "mixed": None, "none at the end": "\n"}
WORDS = {"cp1251": "ширина", "koi8-r": "ширина", "euc-kr": "너비", "gbk": "宽度", "big5": "寬度"}


@pytest.mark.parametrize("newline", NEWLINES.values(), ids=NEWLINES)
@pytest.mark.parametrize("encoding", [*ENCODINGS, "utf-8-sig"])
def test_every_encoding_and_newline_stays(file: Path, encoding: str, newline: str | None) -> None:
    japanese = encoding in ("euc-jp", "shift_jis", "iso2022_jp")
    word = "幅" if japanese else WORDS.get(encoding, "größe")
    lines = [
        f"# coding: {encoding.removesuffix('-sig')}",
        f"x = '{word}'; conv(1)  # {word}",
        "\x0cif x: \\",
        "  conv(1)",
    ]
    breaks = [newline] * 4 if newline else ["\r\n", "\n", "\r\n", "\r"]
    text = "".join(line + end for line, end in zip(lines, breaks, strict=True))
    data = (text[:-1] if newline == "\n" else text).encode(encoding)
    file.write_bytes(data)
    report = Report(linter()(data.decode(encoding), str(file)).findings)
    outcome = fixes.apply(report, linter())
    assert not outcome.failed, outcome.report.errors
    assert file.read_bytes() == data.replace(b"conv(1)", b"conv(1, bias=False)")
    compile(file.read_bytes(), "a.py", "exec")
