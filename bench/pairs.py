"""Timing whole processes in pairs: A B A B …, so that a drifting machine slows both alike."""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Pair", "ProcessCost", "in_pairs", "measure"]


@dataclass(frozen=True, slots=True)
class ProcessCost:
    """What one process cost: seconds on the clock, seconds of CPU, peak memory in MiB."""

    wall: float
    cpu: float
    peak_mib: float

    def __str__(self) -> str:
        return f"{self.wall:.2f} s, {self.cpu:.2f} s CPU, {self.peak_mib:.0f} MiB"


@dataclass(frozen=True, slots=True)
class Pair:
    """Medians of both commands and of the ratios pair by pair."""

    a: ProcessCost
    b: ProcessCost
    wall_ratio: float
    cpu_ratio: float
    peak_ratio: float

    def __str__(self) -> str:
        return f"{self.a} | baseline {self.b}"


def measure(
    command: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: str | None = None
) -> ProcessCost:
    """Run a command to its end in a process of its own.

    Raises:
        subprocess.CalledProcessError: it failed; a failed run has no cost worth quoting.
    """
    # A fresh interpreter in between: RUSAGE_CHILDREN is a maximum over all children ever waited for, and a
    # child begins with the memory of the process that forked it.
    probe = (
        "import json,resource,subprocess,sys,time\n"
        "t=time.perf_counter(); p=subprocess.run(sys.argv[1:],stdout=subprocess.DEVNULL,stderr=subprocess.PIPE)\n"
        "u=resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "sys.stderr.buffer.write(p.stderr[-2000:] if p.returncode else b'')\n"
        "print(json.dumps([time.perf_counter()-t,u.ru_utime+u.ru_stime,u.ru_maxrss])); sys.exit(p.returncode)"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe, *command],
        capture_output=True,
        text=True,
        check=False,
        env=dict(env) if env is not None else None,
        cwd=cwd,
    )
    if done.returncode:
        sys.stderr.write(done.stderr)
        raise subprocess.CalledProcessError(done.returncode, list(command))
    wall, cpu, rss = json.loads(done.stdout)
    return ProcessCost(wall, cpu, rss / (1024 if sys.platform != "darwin" else 1024 * 1024))


def in_pairs(
    a: Sequence[str],
    b: Sequence[str],
    *,
    runs: int = 5,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    before_a: Callable[[], object] = lambda: None,
) -> Pair:
    """Measure two commands in turn after one warm-up each; ``before_a`` gives the first its work, unmeasured."""

    def both() -> tuple[ProcessCost, ProcessCost]:
        before_a()
        return measure(a, env=env, cwd=cwd), measure(b, env=env, cwd=cwd)

    both()
    pairs = [both() for _ in range(runs)]
    return Pair(
        a=_median([first for first, _ in pairs]),
        b=_median([second for _, second in pairs]),
        wall_ratio=statistics.median(first.wall / second.wall for first, second in pairs),
        cpu_ratio=statistics.median(first.cpu / second.cpu for first, second in pairs),
        peak_ratio=statistics.median(first.peak_mib / second.peak_mib for first, second in pairs),
    )


def _median(costs: Sequence[ProcessCost]) -> ProcessCost:
    return ProcessCost(
        statistics.median(cost.wall for cost in costs),
        statistics.median(cost.cpu for cost in costs),
        statistics.median(cost.peak_mib for cost in costs),
    )
