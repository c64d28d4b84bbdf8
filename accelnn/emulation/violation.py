"""What a checker found."""

from __future__ import annotations


class Violation(Exception):
    """A kernel did what a GPU does not forgive, although this run might have survived it.

    kernel: its name. argument: the pointer argument concerned, index: the element of it, program: the program's place in the grid; None where the
    fault has none."""

    def __init__(self, kernel: str, what: str, argument: str | None = None, index: int | None = None, program: tuple[int, ...] | None = None) -> None:
        where = "" if program is None else f", program {program}"
        place = "" if argument is None else f"{argument}: " if index is None else f"{argument}[{index}]: "
        super().__init__(f"{kernel}{where}: {place}{what}")
        self.kernel, self.what, self.argument, self.index, self.program = kernel, what, argument, index, program
