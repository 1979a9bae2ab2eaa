"""A worker that crashes or hangs costs one file, and that file is named."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from normfix import lint
from normfix.findings import Abstention, Report
from normfix.linting.jobs import MANY, Uncollected, Work, at_once, available, in_turn

FILES = [f"{number}.py" for number in range(40)]


def work(path: str) -> Report:
    return Report(undecided=[Abstention("NF301", path, str(os.getpid()))])


def crash(path: str) -> Report:
    if path in ("0.py", "17.py", "39.py"):
        os.kill(os.getpid(), signal.SIGKILL)
    return work(path)


def leave(path: str) -> Report:
    if path == "17.py":
        os._exit(3)
    return work(path)


def hang(path: str) -> Report:
    if path in ("3.py", "17.py"):
        time.sleep(600)
    return work(path)


def given(job: Work) -> Work:
    """A function of this module, so that a process that is spawned finds it too."""
    return job


def run(job: Work, jobs: int = 3, seconds: float = 60) -> tuple[dict[str, Report], dict[str, str]]:
    """The reports, and the failures by file."""
    reports = dict(at_once(FILES, partial(given, job), jobs, seconds))
    return reports, {path: report.errors[0].reason for path, report in reports.items() if report.errors}


def test_every_file_has_its_own_report() -> None:
    reports, failures = run(work)
    assert not failures
    assert sorted(reports) == sorted(FILES)
    assert all(report.undecided[0].where == path for path, report in reports.items())
    assert os.getpid() not in {int(report.undecided[0].reason) for report in reports.values()}


@pytest.mark.parametrize("jobs", [1, 3, 100])
def test_a_crash_costs_one_file(jobs: int) -> None:
    reports, failures = run(crash, jobs)
    assert sorted(reports) == sorted(FILES)
    reason = "the process that linted this file died (exit code -9)"
    assert failures == dict.fromkeys(["0.py", "17.py", "39.py"], reason)


def test_a_process_that_leaves_costs_one_file() -> None:
    assert list(run(leave)[1]) == ["17.py"]


def leave_later(path: str) -> Report:
    if path == "7.py":
        threading.Timer(0.1, os._exit, [3]).start()
    return work(path)


def test_a_process_that_leaves_while_it_has_nothing_to_do_costs_no_more() -> None:
    reports: dict[str, Report] = {}
    for path, report in at_once(FILES, partial(given, leave_later), 1):
        reports[path] = report
        time.sleep(1 if path == "3.py" else 0)  # It is gone when the next files are sent.
    assert sorted(reports) == sorted(FILES)
    assert len([report for report in reports.values() if report.errors]) == 1


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_hang_costs_one_file(jobs: int) -> None:
    reports, failures = run(hang, jobs, seconds=3)  # starting a process counts, too
    assert sorted(reports) == sorted(FILES)
    assert failures == dict.fromkeys(["3.py", "17.py"], "normfix gave up on this file after 3 seconds")


def test_no_process_stays_behind_when_the_run_is_given_up() -> None:
    import multiprocessing

    run = at_once(FILES, partial(given, work), 3)
    next(run)
    assert multiprocessing.active_children()
    run.close()  # type: ignore[attr-defined]  # a generator
    assert not multiprocessing.active_children()


def test_no_process_stays_behind_when_the_run_is_killed() -> None:
    """A process that stayed would hold the end of the pipe that this one reads to its end."""
    start = "run = at_once([f'{one}.py' for one in range(40)], lambda: lambda path: Report(), 2); next(run)"
    program = f"import os\nfrom normfix.findings import Report\nfrom normfix.linting.jobs import at_once\n{start}\n"
    killed = subprocess.run([sys.executable, "-c", program + "os.kill(os.getpid(), 9)"], stdout=-1, timeout=60)
    assert killed.returncode == -9


@pytest.mark.parametrize("threads", [1, 2], ids=["forked", "spawned beside another thread"])
def test_the_number_of_processes_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    monkeypatch.setattr(threading, "active_count", lambda: threads)
    for number in range(MANY + 3):
        body = "model.eval\n" * (number % 3)
        (tmp_path / f"{number}.py").write_text(f"import torch\nmodel = torch.nn.Linear(1, 1)\n{body}")
    reports = [lint([str(tmp_path)], jobs=jobs, cache=False) for jobs in (1, 2, 5)]
    assert len(reports[0].findings) == MANY + 3
    assert reports[0] == reports[1] == reports[2]


def test_processes_are_spawned_beside_other_threads() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        reports, failures = run(work)
    finally:
        done.set()
        thread.join()
    assert not failures
    assert sorted(reports) == sorted(FILES)


def test_garbage_is_collected_as_before_afterwards() -> None:
    assert gc.isenabled()
    for path, _ in in_turn(["a.py"], lambda path: Report()):
        assert path == "a.py"
        assert not gc.isenabled()
    assert gc.isenabled()


def test_garbage_goes_after_enough_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Uncollected, "BYTES", 10)
    collected: list[None] = []
    monkeypatch.setattr(gc, "collect", lambda: collected.append(None))
    path = tmp_path / "a.py"
    path.write_text("x = 1\n")
    list(in_turn([str(path)] * 4 + ["gone.py"], lambda path: Report()))
    assert len(collected) == 2


class Cycle:
    """Garbage that only a collector finds, counted when it goes."""

    gone = 0

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        Cycle.gone += 1


def leave_a_cycle(path: str) -> Report:
    Cycle()
    return Report(undecided=[Abstention("NF301", path, str(Cycle.gone))])


def collecting_often() -> Work:
    """Made in the worker, which need not know what was patched in this process."""
    Uncollected.BYTES = 100  # more than a batch of 8 files, less than 40
    return leave_a_cycle


def test_a_worker_counts_the_source_of_all_its_batches(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.py" for number in range(40)]
    for file in files:
        file.write_text("12345678")
    reports = dict(at_once([str(file) for file in files], collecting_often, 1))
    assert max(int(report.undecided[0].reason) for report in reports.values()) >= 20


def test_available_processors() -> None:
    assert 1 <= available() <= (os.cpu_count() or 1)
