"""Kills `normfix lint --fix` at random moments: every file must be the old one or the new one.

python benchmarks/kill_fix.py [RUNS] [FILES]     # 500 runs over 200 files
"""

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

OLD = b"import torch\r\n\r\n\r\ndef f(model: torch.nn.Module):  # \xc3\xbc\r\n    model.eval\r\n" + b"# line\r\n" * 500
NEW = OLD.replace(b"model.eval\r\n", b"model.eval()\r\n")
COMMAND = [sys.executable, "-m", "normfix", "lint", "--fix", "--fix-only", "--select", "NF403", "--no-cache"]


def main(runs: int, count: int) -> int:
    random.seed(0)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        paths = [folder / f"m{number}.py" for number in range(count)]
        start = time.perf_counter()
        started(folder, paths).wait()
        whole = time.perf_counter() - start
        tally = {"old": 0, "new": 0, "neither": 0, "lost": 0, "left behind": 0, "runs cut in two": 0}
        for number in range(runs):
            if number % 50 == 0:
                print(f"{number} of {runs} runs: {tally}", file=sys.stderr)
            killed(folder, paths)
            found = [path.read_bytes() if path.exists() else None for path in paths]
            old, new, lost = found.count(OLD), found.count(NEW), found.count(None)
            tally["old"] += old
            tally["new"] += new
            tally["lost"] += lost
            tally["neither"] += count - old - new - lost
            tally["runs cut in two"] += bool(old and new)
            tally["left behind"] += sum(path.name.startswith(".normfix-") for path in folder.iterdir())
            for path in folder.glob(".normfix-*"):
                path.unlink()
    print(f"{runs} runs killed over {count} files, a whole run takes {whole:.2f} s")
    for what, number in tally.items():
        print(f"{what:16} {number}")
    return int(tally["neither"] + tally["lost"] > 0)


def started(folder: Path, paths: list[Path]) -> "subprocess.Popen[bytes]":
    for path in paths:
        path.write_bytes(OLD)
    return subprocess.Popen([*COMMAND, str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def killed(folder: Path, paths: list[Path]) -> None:
    """Kill a run soon after it replaced one of the files, drawn by chance, and a little later by chance too."""
    run = started(folder, paths)
    mark = random.choice(paths)
    before = mark.stat().st_ino
    while mark.stat().st_ino == before and run.poll() is None:
        time.sleep(0.0005)
    time.sleep(random.uniform(0, 0.01))
    run.kill()
    run.wait()


if __name__ == "__main__":
    numbers = [int(one) for one in sys.argv[1:]]
    raise SystemExit(main(*(numbers + [500, 200][len(numbers) :])))
