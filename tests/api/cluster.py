"""A PostgreSQL 15 cluster of the test's own, under a temporary folder, on a Unix socket alone."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

BIN = Path("/usr/lib/postgresql/15/bin")


def available() -> bool:
    return (BIN / "initdb").is_file() and Path("/usr/share/postgresql/15/extension/postgis.control").is_file()


class Cluster:
    """initdb, start, crash, start again, remove."""

    def __init__(self, folder: Path, **options: str) -> None:
        self.folder = folder
        self.data = folder / "pg"
        self._options = options
        folder.mkdir(parents=True, exist_ok=True)
        # The server refuses to run as root; Debian's package brings a user of its own.
        self._as = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        if self._as:
            shutil.chown(folder, "postgres", "postgres")
            for parent in folder.parents:
                if parent.is_relative_to("/tmp") and parent != Path("/tmp"):
                    parent.chmod(0o755)
        if (self.data / "PG_VERSION").is_file():
            (self.data / "postmaster.pid").unlink(missing_ok=True)
            self.start()
            return
        self._run("initdb", "-D", str(self.data), "-U", "yunxun", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8")
        self.start()
        self.sql("CREATE DATABASE yunxun", "postgres")

    @classmethod
    def open(cls, folder: Path, **options: str) -> Cluster:
        """The cluster of a folder: the one that lies there, or a new one."""
        return cls(folder, **options)

    def halt(self) -> None:
        """Stops and keeps the data."""
        self._run("pg_ctl", "-D", str(self.data), "-m", "fast", "-w", "stop")

    @property
    def url(self) -> str:
        return self.url_of("yunxun")

    def url_of(self, name: str) -> str:
        return f"postgresql+psycopg://yunxun@/{name}?host={self.folder}"

    def _run(self, tool: str, *args: str) -> str:
        done = subprocess.run([*self._as, str(BIN / tool), *args], capture_output=True, text=True, cwd="/", timeout=600)
        if done.returncode:
            raise RuntimeError(f"{tool}: {done.stderr or done.stdout}")
        return done.stdout

    def start(self) -> None:
        options = {"listen_addresses": "''", "unix_socket_directories": str(self.folder), **self._options}
        flags = " ".join(f"-c {key}={value}" for key, value in options.items())
        self._run(
            "pg_ctl", "-D", str(self.data), "-w", "-t", "60", "-l", str(self.folder / "log"), "-o", flags, "start"
        )

    def pid(self) -> int:
        return int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])

    def crash(self) -> None:
        """kill -9 of the postmaster; its children notice and go."""
        pid = self.pid()
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout
        os.kill(pid, signal.SIGKILL)
        for child in children.split():
            try:
                os.kill(int(child), signal.SIGKILL)
            except ProcessLookupError:
                continue
        deadline = time.monotonic() + 20
        while any(Path(f"/proc/{child}").exists() for child in [str(pid), *children.split()]):
            if time.monotonic() > deadline:
                raise RuntimeError("the cluster does not die")
            time.sleep(0.02)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def sql(self, statement: str, database: str = "yunxun") -> str:
        return self._run_psql(statement, database)

    def _run_psql(self, statement: str, database: str) -> str:
        done = subprocess.run(
            ["psql", "-h", str(self.folder), "-U", "yunxun", "-d", database, "-Atc", statement],
            capture_output=True, text=True, timeout=7200,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout

    def stop(self) -> None:
        with contextlib.suppress(RuntimeError):
            self._run("pg_ctl", "-D", str(self.data), "-m", "immediate", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)
