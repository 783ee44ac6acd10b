"""Measure for the benchmarks: medians in turns, peak memory of a separate process, rows of a Markdown table.

`python benchmarks/measure.py FORMULA DATA [OPTIONS]` fits, with options of `ols` as JSON, makes the summary, and prints the memory
of its process before the fit and at its peak.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

STATUS = Path("/proc/self/status")


def median_seconds(work, repeats):
    """Call a function several times and return the median of its seconds."""
    return in_turns({"": work}, repeats)[""]


def in_turns(works, repeats, *, clock=time.perf_counter):
    """Time functions in turns, so that a slow minute of the machine affects all of them: name -> median seconds.

    A function that takes less than 20 ms is repeated to fill them: a single call would mostly measure cold caches. With
    `clock=time.process_time` these are seconds of processor time, of all threads.
    """
    times = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            begin, done = clock(), 0
            while not done or clock() - begin < 0.02:
                work()
                done += 1
            times[name].append((clock() - begin) / done)
    return {name: statistics.median(taken) for name, taken in times.items()}


def peak_megabytes(formula, data, **options):
    """Fit and make the summary in a fresh process, and return the peak of its resident memory in MB."""
    return _measure_memory(formula, data, options)[1]


def added_megabytes(formula, data, **options):
    """Fit and make the summary in a fresh process, and return the peak of its resident memory in MB, less that before the fit."""
    before, peak = _measure_memory(formula, data, options)
    return peak - before


def _measure_memory(formula, data, options):
    words = [sys.executable, __file__, formula, os.fspath(data), json.dumps(options)]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise MemoryError(f"the process ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return [float(word) for word in done.stdout.split()]


def own_peak_megabytes():
    """Return the peak of this process in MB. On Linux `ru_maxrss` includes that of the parent, so VmHWM is read there."""
    if STATUS.exists():
        return int(STATUS.read_text().split("VmHWM:")[1].split()[0]) * 1024 / 1e6
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e6 / 1024)


def machine(packages, seed):
    """Describe the machine, Python, the seed and the versions of packages."""
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return f"{platform.machine()}, {threads} threads, Python {platform.python_version()}, seed {seed}; {versions}"


def head():
    """Print the head of the table."""
    print("| | work | squarely | peer | ratio | target | met |\n|---|---|---|---|---|---|---|", flush=True)


def faster(name, work, ours, peer, *, least=None):
    """Print a row: how many times as fast as a peer (label, seconds) this is."""
    ratio = peer[1] / ours
    target = "" if least is None else f"at least {least:g} x faster"
    _row(name, work, (seconds(ours), _describe_peer(peer)), ratio, target, reached=least is None or ratio >= least)


def within(name, work, ours, peer, *, most=None, least=0.0):
    """Print a row: how many times as long as a peer (label, seconds) this takes."""
    ratio = ours / peer[1]
    target = "" if most is None else f"{least:g} to {most:g} x the time" if least else f"at most {most:g} x the time"
    _row(name, work, (seconds(ours), _describe_peer(peer)), ratio, target, reached=most is None or least <= ratio <= most)


def memory(name, work, ours, *, most):
    """Print a row: the peak memory in MB."""
    _row(name, work, (f"{ours:,.0f} MB", ""), ours / most, f"under {most:,.0f} MB", reached=ours < most)


def refused(name, work, reason):
    """Print a row for something that could not be measured."""
    print(f"| {name} | {work} | {' '.join(str(reason).split()).replace('|', ' ')} | | | | no |", flush=True)


def seconds(s):
    return f"{s:,.2f} s" if s >= 1 else f"{s * 1e3:,.1f} ms"


def _describe_peer(peer):
    return f"{peer[0]}: {seconds(peer[1])}"


def _row(name, work, cells, ratio, target, *, reached):
    met = ("yes" if reached else "**no**") if target else ""
    print(f"| {name} | {work} | {cells[0]} | {cells[1]} | {ratio:.2f} | {target} | {met} |", flush=True)


if __name__ == "__main__":
    import squarely as sq

    options = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
    small = {name: [0.0, 1.0, 3.0, 2.0] * 20 for name in "xy"} | {"g": [*"ab"] * 40}
    str(sq.ols("y ~ x", small, cluster="g").summary())  # imports what a fit needs
    before = own_peak_megabytes()
    text = str(sq.ols(sys.argv[1], sys.argv[2], **options).summary())
    assert "R-squared" in text
    print(before, own_peak_megabytes())
