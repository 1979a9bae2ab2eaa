"""Many files at once: in worker processes, where a crash or a hang costs the file at hand and no other."""

from __future__ import annotations

import gc
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress

from normfix.findings import Failure, Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

MANY = 24
"""Files from which on starting processes takes less time than it saves."""
SECONDS = 60.0
"""Time that one file may take."""
_BATCH = 8
"""Files that go to a worker together; those of one folder share what they import."""

Work = Callable[[str], Report]


def in_turn(files: Iterable[str], work: Work) -> Iterator[tuple[str, Report]]:
    """Each file with its report, in this process."""
    with Uncollected() as memory:
        for file in files:
            yield file, work(file)
            memory.account(file)


def at_once(
    files: Sequence[str], make_work: Callable[[], Work], jobs: int, seconds: float = SECONDS
) -> Iterator[tuple[str, Report]]:
    """Each file with its report, as they come from `jobs` processes; each makes its own `work`."""
    from multiprocessing.connection import wait

    waiting = deque(files)
    workers = [_Worker(make_work) for _ in range(min(jobs, -(-len(files) // _BATCH)))]
    try:
        while workers:
            for worker in workers:
                if len(worker.files) < 2 and waiting:  # it does not wait for what comes next
                    worker.give(_batch(waiting, jobs), seconds)
            busy = [worker for worker in workers if worker.files]
            if not busy:
                return
            ready = wait([worker.pipe for worker in busy], max(min(one.left for one in busy), 0))
            for worker in busy:
                if worker.pipe in ready or worker.left <= 0:
                    yield from worker.collect(worker.pipe in ready, seconds, waiting)
    finally:
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.stop()


def _batch(waiting: deque[str], jobs: int) -> list[str]:
    """The next files for a worker: few towards the end, so that all of them end together."""
    return [waiting.popleft() for _ in range(max(min(_BATCH, len(waiting) // (4 * jobs)), 1))]


def available() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Worker:
    """One process, and the files that it still owes, the one at hand first."""

    def __init__(self, make_work: Callable[[], Work]) -> None:
        self._make_work = make_work
        self.files: list[str] = []
        self._start()

    def _start(self) -> None:
        import multiprocessing
        import threading

        # A fork inherits what is imported already, but not the threads that others have started.
        alone = threading.active_count() == 1
        method = "fork" if alone and "fork" in multiprocessing.get_all_start_methods() else "spawn"
        context = multiprocessing.get_context(method)
        self.pipe, theirs = context.Pipe()
        told = theirs, self._make_work, self.pipe if method == "fork" else None
        self._process: BaseProcess = context.Process(target=_serve, args=told, daemon=True)  # type: ignore[attr-defined]
        self._process.start()
        theirs.close()

    @property
    def left(self) -> float:
        """Seconds that the file at hand may still take."""
        from time import monotonic

        return self._deadline - monotonic()

    def give(self, files: list[str], seconds: float) -> None:
        """Hand over files, of which each may take `seconds`."""
        from time import monotonic

        if not self.files:
            self._deadline = monotonic() + seconds
        self.files += files
        with suppress(OSError):  # It has died: collecting from it tells.
            self.pipe.send(files)

    def collect(self, ready: bool, seconds: float, waiting: deque[str]) -> Iterator[tuple[str, Report]]:
        """What the worker has to say, or a failure in its place; then the process is replaced."""
        from time import monotonic

        try:
            if not ready and not self.pipe.poll():
                raise TimeoutError
            report = self.pipe.recv()
        except (EOFError, OSError, TimeoutError) as error:
            file, *rest = self.files
            self.stop()
            yield file, Report(errors=[Failure(file, self._epitaph(error, seconds))])
            self.files = []
            if rest or waiting:
                self._start()
            if rest:
                self.give(rest, seconds)
            return
        self._deadline = monotonic() + seconds
        yield self.files.pop(0), report

    def _epitaph(self, error: Exception, seconds: float) -> str:
        if isinstance(error, TimeoutError):
            return f"normfix gave up on this file after {seconds:g} seconds"
        return f"the process that linted this file died (exit code {self._process.exitcode})"

    def kill(self) -> None:
        """End the process, whatever it does; the system may take a while over its memory."""
        self._process.kill()

    def stop(self) -> None:
        """The same, until it is gone."""
        self.kill()
        self.pipe.close()
        self._process.join()


def _serve(pipe: Connection, make_work: Callable[[], Work], inherited: Connection | None) -> None:
    """The life of a worker: files in, a report for each out. A fork inherits the other end of its pipe as well."""
    import signal

    if inherited is not None:
        inherited.close()  # Else the pipe would outlive the parent that is killed, and the worker wait for ever.
    # The parent is interrupted too, and ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    work = make_work()
    try:
        for _, report in in_turn(_received(pipe), work):
            pipe.send(report)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _received(pipe: Connection) -> Iterator[str]:
    """The files of one batch after the other."""
    while True:
        yield from pipe.recv()


class Uncollected:
    """Syntax trees are many small objects that live as long as their file: the garbage collector only gets in the way.

    It is off inside, and runs once for every few megabytes of source: a script takes its tree apart itself.
    """

    BYTES = 32_000_000

    def __enter__(self) -> Uncollected:
        self._enabled = gc.isenabled()
        self._bytes = 0
        gc.disable()
        return self

    def account(self, path: str) -> None:
        """Note that a file was read."""
        try:
            self._bytes += os.stat(path).st_size
        except OSError:
            return
        if self._bytes > self.BYTES:
            self._bytes = 0
            gc.collect()

    def __exit__(self, *_: object) -> None:
        if self._enabled:
            gc.enable()
