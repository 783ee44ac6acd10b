"""A Postgres server of the tests' own: on loopback, in a temporary folder, gone when the tests end."""

import atexit
import functools
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

_SETTINGS = (
    "listen_addresses = '127.0.0.1'\nfsync = off\nshared_preload_libraries = 'pg_stat_statements'\n"
    "pg_stat_statements.max = 10000\nautovacuum = off\n"
)


def _binaries() -> Path:
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not folders:
        why = "needs a Postgres server: apt-get install postgresql"
        if os.environ.get("SQUARELY_REQUIRE_ALL") == "1":
            pytest.fail(why)
        pytest.skip(why)
    return folders[-1]


def _run(*command: object) -> None:
    """Run a program as a user that is not root, which Postgres does not start for."""
    other = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.geteuid() == 0 else []
    done = subprocess.run([*other, *map(str, command)], capture_output=True, text=True, cwd="/", check=False)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")


@functools.cache
def server() -> int:
    """Start the server, once, and give its port; connections from this machine are trusted, as user "postgres"."""
    binaries, folder = _binaries(), Path(tempfile.mkdtemp(prefix="squarely-postgres-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    data = folder / "data"
    _run(binaries / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "--no-sync", "--encoding=UTF8", "--locale=C")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (data / "postgresql.conf").open("a") as settings:
        settings.write(f"{_SETTINGS}port = {port}\nunix_socket_directories = '{folder}'\n")
    # Its output goes to a file: a reader of a pipe that the server holds would wait for its end.
    _run(binaries / "pg_ctl", "-D", data, "-l", folder / "log", "-w", "start")
    atexit.register(_run, binaries / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    return port
