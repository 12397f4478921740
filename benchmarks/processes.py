"""Processes under test: started, watched and ended by their own handle, with their memory read from /proc."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
SOURCE_ROOTS = (REPOSITORY, REPOSITORY / "extension", REPOSITORY / "kernel_bridge")
BYTES_PER_MB = 1_000_000
PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")


class StartFailed(RuntimeError):
    """A process ended, or kept silent, before it served anything; the message holds the end of its log."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def resident_mb(pid: int) -> float:
    """Resident memory of one process, in MB (10^6 bytes)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_SIZE / BYTES_PER_MB


def descendants(pid: int) -> list[int]:
    """The processes below that one."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except FileNotFoundError:
        return []
    return children + [grandchild for child in children for grandchild in descendants(child)]


def tree_mb(pid: int) -> float:
    """Resident memory of a process and all below it, in MB; pages that they share count for each."""
    total = 0.0
    for member in (pid, *descendants(pid)):
        try:
            total += resident_mb(member)
        except FileNotFoundError:
            continue
    return total


class Server:
    """One server process on a port of its own, with its output in a file."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, log: Path) -> None:
        self._process = process
        self.port = port
        self._log = log

    @classmethod
    async def start(cls, *arguments: str, port: int, folder: Path, environment: Mapping[str, str]) -> Server:
        """Start ``python ARGUMENTS``; returns when the port accepts connections."""
        log = folder / "log.txt"
        path = os.pathsep.join(filter(None, [*map(str, SOURCE_ROOTS), os.environ.get("PYTHONPATH", "")]))
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": path, **environment},
            )
        server = cls(process, port, log)
        try:
            await server._wait_for_port()
        except BaseException:
            await server.stop()
            raise
        return server

    @property
    def pid(self) -> int:
        return self._process.pid

    async def stop(self) -> None:
        """Ask it to end, then insist, then end what it left behind."""
        below = descendants(self.pid)
        if self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), timeout=10)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        for pid in below:
            if descends_from_us(pid):
                os.kill(pid, 9)

    async def _wait_for_port(self, patience: float = 30.0) -> None:
        for _ in range(round(patience / 0.05)):
            if self._process.returncode is not None:
                raise StartFailed(f"it ended with {self._process.returncode}: …{self._log_end()}")
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except ConnectionError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
        raise StartFailed(f"nothing listens on its port after {patience} s: …{self._log_end()}")

    def _log_end(self) -> str:
        return self._log.read_text(errors="replace").strip()[-600:]


def descends_from_us(pid: int) -> bool:
    """Whether a process still runs this run's interpreter (its number may have been given away since)."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(sys.executable.encode())
    except FileNotFoundError:
        return False
