"""What a callback prints, and its traceback, go to the cell that showed the app and to its views."""

from __future__ import annotations

import asyncio
import io
import os
import pty
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from contextvars import ContextVar
from typing import Any

import pytest

from bokehmount.kernel.cell import cell_of
from bokehmount.kernel.stage import CellStage, OutputTap


class Shell:
    """An interactive shell that knows which cell runs."""

    def __init__(self, parent: dict[str, Any]) -> None:
        self.parent = parent
        self.display_pub = self

    def get_parent(self) -> dict[str, Any]:
        return self.parent

    def set_parent(self, parent: dict[str, Any]) -> None:
        self.parent = parent


class Stream(io.StringIO):
    """ipykernel's stream, as far as it copies to its echo."""

    echo: Any = None

    def write(self, text: str) -> int:
        if self.echo is not None:
            self.echo.write(text)
        return super().write(text)


SHOWED, RUNNING = {"header": {"msg_id": "1"}}, {"header": {"msg_id": "2"}}


@contextmanager
def tapped() -> Iterator[Stream]:
    """Standard output as in a kernel; in the test itself, since pytest puts its own in place before each."""
    out, err = Stream(), Stream()
    tap = OutputTap()
    with redirect_stdout(out), redirect_stderr(err):
        tap.open()
        yield out
        tap.close()
    assert out.echo is None and err.echo is None, "the streams are as they were"


def test_a_callbacks_output_goes_to_its_cell_and_a_copy_to_its_views() -> None:
    with tapped() as out:
        shell, heard = Shell(RUNNING), list[tuple[str, bool]]()
        stage = CellStage(shell, SHOWED, lambda text, error: heard.append((text, error)))
        print("before")
        with stage.entered():
            assert shell.parent == SHOWED
            print("hello")
            print("careful", file=sys.stderr)
        print("after")
        assert shell.parent == RUNNING, "the running cell's output is its own again"
        assert "".join(text for text, error in heard if not error) == "hello\n"
        assert "".join(text for text, error in heard if error) == "careful\n"
        assert out.getvalue() == "before\nhello\nafter\n"


def test_what_a_callback_prints_is_passed_on_together_but_not_late() -> None:
    with tapped():
        heard: list[tuple[str, bool]] = []
        stage = CellStage(Shell(RUNNING), SHOWED, lambda text, error: heard.append((text, error)))

        async def main() -> None:
            with stage.entered():
                print("first")
                heard.clear()
                for number in range(3):
                    print("number", number)
                print("careful", file=sys.stderr)
                assert heard == []
            assert heard == [("number 0\nnumber 1\nnumber 2\n", False), ("careful\n", True)]
            with stage.entered():
                print("before it waits")
                await asyncio.sleep(0.01)
                assert heard[2:] == [("before it waits\n", False)]
                time.sleep(0.06)
                print("after", "a", "while")
                assert heard[3:] == [("after a while\n", False)], "also before it ends"
            assert len(heard) == 4

        asyncio.run(main())


def test_what_a_forked_worker_prints_is_its_cells_alone() -> None:
    reader, writer = os.pipe()
    with tapped() as out, open(reader, "rb") as heard:

        def listen(text: str, error: bool) -> None:
            os.write(writer, text.encode())

        stage = CellStage(Shell(RUNNING), SHOWED, listen)
        with stage.entered():
            print("from the kernel")
            child = os.fork()
            if not child:
                print("from a worker")
                os._exit(0 if "from a worker" in out.getvalue() else 1)
            assert os.waitpid(child, 0) == (child, 0)
            print("to the end")
        os.close(writer)
        assert heard.read() == b"from the kernel\nto the end\n", "two processes would write to the server at once"


def test_a_forked_worker_with_a_terminal_of_its_own_is_heard_there() -> None:
    """Panel's Terminal reads there that its process has ended."""
    heard: list[str] = []
    with tapped(), CellStage(Shell(RUNNING), SHOWED, lambda text, error: heard.append(text)).entered():
        child, terminal = pty.fork()
        if not child:
            print("from a terminal")
            os._exit(0)
        printed = b""
        while not printed.endswith(b"\n"):  # `print` writes the line's end by itself
            printed += os.read(terminal, 100)
        assert printed == b"from a terminal\r\n"
        assert os.waitpid(child, 0) == (child, 0)
    os.close(terminal)
    assert not heard


def test_the_shell_is_told_also_where_it_says_that_this_is_the_cell() -> None:
    shell = Shell(SHOWED)
    changes: list[Any] = []
    shell.set_parent = lambda parent: changes.append(parent)  # type: ignore[method-assign]
    with CellStage(shell, SHOWED, lambda *_: None).entered():
        assert changes == [SHOWED], "the streams may have a context in which there is no cell"


def test_an_app_inside_of_an_app_gives_the_stage_back() -> None:
    with tapped():
        heard: list[str] = []
        outer = CellStage(Shell(RUNNING), SHOWED, lambda text, error: heard.append("outer " + text.strip()))
        inner = CellStage(Shell(RUNNING), SHOWED, lambda text, error: heard.append("inner " + text.strip()))
        with outer.entered():
            with inner.entered():
                sys.stdout.write("a")
            sys.stdout.write("b")
        sys.stdout.write("c")
        assert heard == ["inner a", "outer b"]


def test_two_async_callbacks_at_once_are_told_apart() -> None:
    with tapped():
        heard: list[str] = []

        async def callback(name: str) -> None:
            with CellStage(Shell(SHOWED), SHOWED, lambda text, error: heard.append(f"{name} {text}")).entered():
                for step in "12":
                    sys.stdout.write(step)
                    await asyncio.sleep(0)

        async def main() -> None:
            await asyncio.gather(callback("a"), callback("b"))

        asyncio.run(main())
        assert sorted(heard) == ["a 1", "a 2", "b 1", "b 2"]


def test_a_traceback_begins_in_the_users_code() -> None:
    with tapped():
        heard: list[tuple[str, bool]] = []
        stage = CellStage(Shell(RUNNING), SHOWED, lambda text, error: heard.append((text, error)))
        try:
            raise ValueError("oh no")
        except ValueError as error:
            stage.raised(error, "callback moved")
        text = "".join(text for text, _ in heard)
        assert text.startswith("callback moved raised:\nTraceback") and text.rstrip().endswith("ValueError: oh no")
        assert all(is_error for _, is_error in heard)
        assert "kernel_bridge" not in text and __file__ in text


def test_an_error_inside_leaves_all_as_it_was() -> None:
    with tapped():
        shell, heard = Shell(RUNNING), list[str]()
        with pytest.raises(ValueError), CellStage(shell, SHOWED, lambda text, error: heard.append(text)).entered():
            raise ValueError
        print("after")
        assert heard == [] and shell.parent == RUNNING


def test_outside_of_a_kernel_there_is_no_cell() -> None:
    assert cell_of(object()) == {} and cell_of(None) == {}
    with CellStage(object(), {}, lambda *_: None).entered():
        pass


def test_work_that_belongs_to_no_cell_in_ipykernel_7_0() -> None:
    class Shell70:
        parent: ContextVar[dict[str, Any]] = ContextVar("parent_header")

        def get_parent(self) -> dict[str, Any]:
            return self.parent.get()

    assert cell_of(Shell70()) == {}


def test_streams_without_an_echo_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    tap = OutputTap()
    tap.open()
    tap.close()
    assert not hasattr(sys.stdout, "echo")


def test_an_echo_that_was_there_still_hears_all(monkeypatch: pytest.MonkeyPatch) -> None:
    out, before = Stream(), io.StringIO()
    out.echo = before
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", Stream())
    tap = OutputTap()
    tap.open()
    print("hello", flush=True)
    out.echo.flush()
    tap.close()
    assert before.getvalue() == "hello\n" and out.echo is before
