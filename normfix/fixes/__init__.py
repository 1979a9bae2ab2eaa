"""Carries remedies out in source text. libcst is imported only when an argument of a call changes."""

from normfix.errors import Refused as Refused
from normfix.fixes.rounds import Fixed as Fixed
from normfix.fixes.rounds import fix_text as fix_text
from normfix.fixes.run import Outcome as Outcome
from normfix.fixes.run import apply as apply
from normfix.fixes.verify import Broken as Broken
