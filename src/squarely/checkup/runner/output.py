"""What the user's code prints: its first and last part, whatever its length."""

from __future__ import annotations

import io

KEPT = 20_000  # bytes of the first part, and of the last


class BoundedOutput:
    """Bytes of which the first and the last part stay in memory."""

    def __init__(self) -> None:
        self.head, self.tail, self.length = bytearray(), bytearray(), 0

    def append(self, data: bytes) -> None:
        """Add bytes at the end."""
        self.length += len(data)
        room = KEPT - len(self.head)
        self.head += data[:room]
        self.tail += data[max(room, 0) :]
        del self.tail[: max(len(self.tail) - KEPT, 0)]

    @property
    def text(self) -> str:
        """The output, with the number of bytes that are left out in its middle."""
        left_out = self.length - len(self.head) - len(self.tail)
        between = f"\n... {left_out:,} bytes left out ...\n".encode() if left_out else b""
        return bytes(self.head + between + self.tail).decode("utf-8", errors="replace")

    @property
    def remark(self) -> str:
        """The sentence about an output that is not complete; "" for a complete one."""
        if self.length <= len(self.head) + len(self.tail):
            return ""
        return f"The loop printed {self.length:,} bytes, of which the first and last {KEPT:,} are kept."


class OutputStream(io.TextIOBase):
    """A stream for `sys.stdout` that writes into a `BoundedOutput`."""

    encoding = "utf-8"

    def __init__(self, output: BoundedOutput) -> None:
        self.output = output

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Add text."""
        self.output.append(text.encode("utf-8", errors="replace"))
        return len(text)


class NoInput(io.TextIOBase):
    """A stream for `sys.stdin` that has nothing: every read raises an EOFError."""

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int | None = -1) -> str:
        """Raise an EOFError."""
        raise EOFError("the loop reads standard input, and there is none")

    def readline(self, size: int = -1) -> str:  # type: ignore[override]
        """Raise an EOFError, also for `input()`."""
        raise EOFError("the loop reads standard input, and there is none")
