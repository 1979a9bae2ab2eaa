"""An abstract interpreter for the part of Python that builds and runs networks.

It follows values through `__init__` and `forward` by `ast` alone; nothing is imported or executed. What it does not
understand becomes `Unknown`, and whatever goes in there escapes. Both sides of an undecided branch are taken, and a
loop of unknown length stands for any number of rounds: what holds in the result holds for every way the code can run.
"""
