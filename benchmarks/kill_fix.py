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
        whole = timed(folder, paths, None)
        tally = {"old": 0, "new": 0, "neither": 0, "lost": 0, "left behind": 0, "runs cut in two": 0}
        for number in range(runs):
            if number % 50 == 0:
                print(f"{number} of {runs} runs: {tally}", file=sys.stderr)
            timed(folder, paths, random.uniform(0.3 * whole, whole))
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


def timed(folder: Path, paths: list[Path], moment: float | None) -> float:
    """Start with old files and kill the run after `moment` seconds; the seconds that a whole run took."""
    for path in paths:
        path.write_bytes(OLD)
    start = time.perf_counter()
    run = subprocess.Popen([*COMMAND, str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        run.wait(moment)
    except subprocess.TimeoutExpired:
        run.kill()
        run.wait()
    return time.perf_counter() - start


if __name__ == "__main__":
    numbers = [int(one) for one in sys.argv[1:]]
    raise SystemExit(main(*(numbers + [500, 200][len(numbers) :])))
