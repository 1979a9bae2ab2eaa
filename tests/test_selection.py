"""Codes, beginnings of codes and slugs; the more specific word wins."""

import re

import pytest

from normfix import UsageError
from normfix.engine import rules
from normfix.selection import codes, selected

ON = {rule.code for rule in rules().values() if rule.enabled}
OFF = set(rules()) - ON
NF3 = {code for code in rules() if code.startswith("NF3")}
ALWAYS = {"NF902"}

CHOICES = {
    "nothing said": (None, [], [], ON),
    "everything": (["ALL"], [], [], ON | OFF),
    "nothing": ([], [], [], ALWAYS),
    "a code": (["NF301"], [], [], {"NF301"} | ALWAYS),
    "a slug": (["bias-before-norm"], [], [], {"NF301"} | ALWAYS),
    "a group": (["NF3"], [], [], NF3 | ALWAYS),
    "every code begins so": (["NF"], [], [], ON | OFF),
    "a group without one": (["NF3"], [], ["NF301"], NF3 - {"NF301"} | ALWAYS),
    "one of a group that is ignored": (["NF301"], [], ["NF3"], {"NF301"} | ALWAYS),
    "equals: to ignore wins": (["NF301"], [], ["NF301"], ALWAYS),
    "equals by slug and code": (["NF301"], [], ["bias-before-norm"], ALWAYS),
    "the default without a group": (None, [], ["NF3"], ON - NF3),
    "the default and one that is off": (None, sorted(OFF)[:1], [], ON | set(sorted(OFF)[:1])),
    "everything ignored": (None, [], ["ALL"], set()),
    "everything ignored but one": (None, ["NF301"], ["ALL"], {"NF301"}),
}


@pytest.mark.parametrize("select, extend, ignore, expected", CHOICES.values(), ids=CHOICES)
def test_choice(select: list[str] | None, extend: list[str], ignore: list[str], expected: set[str]) -> None:
    assert codes(select, extend, ignore) == expected


UNKNOWN = {
    "NF999": "`NF999`",
    "NF0": "`NF0`",
    "F401": "`F401`",
    "bias-befor-norm": "did you mean `bias-before-norm`",
    "nf301": "did you mean `NF301`?",
    "nf3": "did you mean `NF3`?",
    "Bias-Before-Norm": "did you mean `bias-before-norm`?",
    "": "``",
}


@pytest.mark.parametrize("word, message", UNKNOWN.items(), ids=[word or "empty" for word in UNKNOWN])
def test_unknown_words(word: str, message: str) -> None:
    for arguments in (([word], [], []), (None, [word], []), (None, [], [word])):
        with pytest.raises(UsageError, match=f"no rule is called .*{re.escape(message)}"):
            codes(*arguments)


def test_a_word_is_no_list_of_words() -> None:
    for arguments in (("NF301", [], []), (None, "NF301", []), (None, [], "NF301")):
        with pytest.raises(
            UsageError, match=re.escape("which rules `NF301` names: expected a list, as in `['NF301']`")
        ):
            codes(*arguments)


def test_checks_of_the_selection_in_order_of_code() -> None:
    found = [check.rule.code for check in selected(["NF3"])]
    assert found == sorted(found)
    assert set(found) == NF3
