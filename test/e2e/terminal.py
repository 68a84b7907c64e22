"""A program on a terminal of its own, for the tests that type."""
import os
import pty
import re
import select
import signal
import termios
import time


class Terminal:
    def __init__(self, command: list[str], env: dict[str, str], keep_escapes: bool = False):
        self.keep_escapes = keep_escapes
        self.output = ""  # what has been shown and not yet expected
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            termios.tcsetwinsize(0, (50, 200))
            os.execve(command[0], command, env)
        self.exit: int | None = None

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def _read(self, seconds: float) -> bool:
        """Takes what comes within so many seconds; false at the end."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # Linux reports the end of a terminal so
            return False
        text = data.decode(errors="replace")
        # Those that move the cursor or change the colour.
        self.output += text if self.keep_escapes else re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
        return bool(data)

    def expect(self, pattern: str, timeout: float = 60) -> str:
        """Waits until the pattern is shown and returns what came before it."""
        end = time.monotonic() + timeout
        while True:
            found = re.search(pattern, self.output)
            if found:
                before, self.output = self.output[:found.start()], self.output[found.end():]
                return before
            more = self._read(min(0.2, max(0.0, end - time.monotonic())))
            if not more and not re.search(pattern, self.output):
                raise AssertionError(f"the program ended without showing {pattern!r}: {self.output!r}")
            if time.monotonic() > end:
                raise AssertionError(f"{pattern!r} was not shown in {timeout} s: {self.output!r}")

    def prompt(self, timeout: float = 60) -> str:
        """Waits for the line editor: it shows its prompt first, then takes the terminal out of line mode."""
        before = self.expect("\n> ", timeout)  # drawn again it follows a carriage return
        end = time.monotonic() + timeout
        while termios.tcgetattr(self.fd)[3] & termios.ICANON:
            assert time.monotonic() < end, "the terminal stays in line mode"
            time.sleep(0.001)
        return before

    def wait(self, timeout: float = 60) -> int:
        """Waits for the program's end and returns its exit status (negative: a signal)."""
        end = time.monotonic() + timeout
        while self.exit is None and time.monotonic() < end:
            self._read(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.exit = os.waitstatus_to_exitcode(status)
        assert self.exit is not None, f"still running: {self.output!r}"
        return self.exit

    def close(self) -> None:
        if self.exit is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)
