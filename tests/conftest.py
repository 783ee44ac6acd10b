"""What every test runs under: one thread for each worker, a number of random examples, markers and groups."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy and PyTorch are imported: the workers share the cores

import pytest
from hypothesis import settings

settings.register_profile("dev", max_examples=10, deadline=None)
settings.register_profile("ci", max_examples=30, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

# Scripts that made reference numbers, with packages that no test needs; and training loops, which are data of the checkup's tests.
collect_ignore_glob = ["data/*", "checkup/loops/*", "checkup/scripts/*"]

# One worker runs a whole group, because its tests share something that is slow to make. A marker keeps a group out of `make test`.
GROUPS = {
    "test_spark.py": "spark",
    "test_spark_merging.py": "spark",
    "test_spark_sessions.py": "spark",
    "test_dask_cluster.py": "dask",
    "test_ibis.py": "postgres",
    "test_bad_input_table.py": "table",
    "test_codegen.py": "scripts",
    "test_notebook.py": "notebook",
    "test_types.py": "types",
    "test_lazy_torch.py": "lazy",
    "test_process_group.py": "processes",
    "test_kill.py": "kills",
}
MARKERS = {"spark": "cluster", "dask": "cluster", "processes": "process_group", "kills": "kill"}
LEFT_OUT = pytest.StashKey[int]()


def group_of(nodeid: str) -> str | None:
    path, _, test = nodeid.partition("::")
    name = path.rsplit("/", 1)[-1]
    if "conformance/" in path and name not in GROUPS:
        return next((group for group in ("spark", "postgres") if group in test), None)
    return GROUPS.get(name)


def pytest_itemcollected(item):
    """Set markers by file, before -m selects by them."""
    group = group_of(item.nodeid)
    if group in MARKERS:
        item.add_marker(MARKERS[group])
    elif "postgres" in item.name.lower():
        item.add_marker("cluster")
    if item.get_closest_marker("diverges"):
        item.add_marker(pytest.mark.filterwarnings("ignore::squarely.errors.ConvergenceWarning"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Keep groups together. pytest-xdist 3.8 does so by a suffix of the node id, which pytest 9.2 does not let it set."""
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return group_of(nodeid) or nodeid

    return Groups(config, log)


def pytest_configure(config):
    config.stash[LEFT_OUT] = 0


def pytest_deselected(items):
    """Count what is left out because it is slow."""
    for item in items:
        if item.get_closest_marker("smoke") is None and any(map(item.get_closest_marker, MARKERS.values())):
            item.config.stash[LEFT_OUT] += 1


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash[LEFT_OUT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Take the count of a worker, which is the same for all: each has collected every test."""
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", 0)


def pytest_unconfigure(config):
    """Say last what was left out."""
    count, reporter = config.stash.get(LEFT_OUT, 0), config.pluginmanager.get_plugin("terminalreporter")
    if count and reporter is not None and not hasattr(config, "workeroutput"):
        reporter.write_line(f"{count} cluster, process-group and kill tests left out: make test-all")
