"""Which threads run when. Those that stand at the lowest instruction go first, up to where others wait for them, so that they meet again behind a branch;
with a seed, a warp drawn at random runs for a while. Barriers let a block's threads through when all have come; if nobody can run, it is a deadlock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..violation import Violation
from .machine import HANDLERS, Decoder, Machine, Mask, Source, Step
from .memory import Fault
from .parser import Instruction, Kernel
from .values import Array

BRANCH, EXIT, BARRIER, TRY, TOGETHER, GATHER, PLAIN = range(7)
OF_A_WARP = ("shfl", "vote", "match", "redux", "elect", "mma", "ldmatrix", "stmatrix")


@dataclass
class Code:
    """One decoded instruction."""

    action: int
    step: Any
    predicate: Source | None
    one: Instruction


def _barrier(d: Decoder, one: Instruction) -> tuple[Source, Source | None]:
    number = d.source(one.operands[0], "u32", one)
    return number, d.source(one.operands[1], "u32", one) if len(one.operands) > 1 else None


def decode_kernel(kernel: Kernel) -> tuple[Decoder, list[Code]]:
    """All instructions as functions; what is not known raises here, naming the line."""
    d, program = Decoder(kernel), []
    touched: list[set[int]] = []
    for one in kernel.instructions:
        d.touched = set()
        touched.append(d.touched)
        predicate = None if one.predicate is None else d.source(("!" if one.negated else "") + one.predicate, "pred", one)
        step: Any = None
        if one.name == "bra":
            action = BRANCH
        elif one.name in ("ret", "exit", "trap"):
            action = EXIT
        elif one.name in ("bar", "barrier") and one.words[0] != "warp" and "cluster" not in one.words:
            if "red" in one.words:
                raise d.fault(one, "barrier with a reduction is not emulated")
            action, step = BARRIER, _barrier(d, one)
        elif one.name in ("bar", "barrier"):
            action, step = GATHER, lambda m, mask: None
        else:
            if one.name not in HANDLERS:
                raise d.fault(one, "instruction is not emulated")
            try:
                step = HANDLERS[one.name](d, one)
            except (StopIteration, IndexError, ValueError, KeyError) as error:
                raise d.fault(one, f"cannot be decoded: {error!r}") from error
            action = TRY if one.name == "mbarrier" and one.words[0] in ("try_wait", "test_wait") else PLAIN
            if one.name in OF_A_WARP and predicate is None:
                action = GATHER
            if one.name == "wgmma" and one.words[0] == "mma_async":
                action = TOGETHER
        program.append(Code(action, step, predicate, one))
    results = set().union(*(t for t, code in zip(touched, program) if code.action == TOGETHER))
    for code, mine in zip(program, touched):
        if code.action in (PLAIN, GATHER) and mine & results:
            code.step = _after_wgmma(code.step, mine & results)
    return d, program


def _after_wgmma(step: Step, registers: set[int]) -> Step:
    """Registers of a wgmma in flight may not be read or written before its wait."""

    def checked(m: Machine, mask: Mask) -> None:
        for first, warp in m.state.get("wgmma", {}).items():
            if warp.flights and (mask is None or mask[first : first + 32].any()) and any(registers & flight.slots for _, flight in warp.flights):
                raise Fault("a register of a wgmma that has not been waited for is used")
        step(m, mask)

    return checked


class Scheduler:
    """Runs one machine to its end."""

    def __init__(self, machine: Machine, program: list[Code], seed: int | None = None, most: int = 50_000_000) -> None:
        self.m, self.program, self.most = machine, program, most
        n = machine.lanes
        self.pc = np.zeros(n, np.int64)
        self.live, self.waiting, self.blocked = np.ones(n, bool), np.zeros(n, bool), np.zeros(n, bool)
        self.gathering = np.zeros(n, bool)  # at an instruction of a whole warp, while others of the warp are still on their way
        self.barrier = np.full(n, -1)  # number of the barrier at which a lane waits
        self.expected = np.zeros(n, np.int64)
        self.arrived: dict[tuple[int, int], int] = {}  # (block, barrier) -> threads that came by bar.arrive
        self.arrived_warps: dict[tuple[int, int], int] = {}
        self.random = None if seed is None else np.random.default_rng(seed)
        self.all_warps = machine.block_of * 64 + machine.warp
        self.count = 0
        self.current = -1  # the warp that a random schedule lets run

    def run(self) -> int:
        with np.errstate(all="ignore"):
            while True:
                self._wake()
                ready = self.live & ~self.waiting & ~self.blocked & ~self.gathering
                if not ready.any() and self.gathering.any():
                    self._go_without()
                elif not ready.any():
                    if not self.live.any():
                        self._leftovers()
                        break
                    self._deadlock()
                else:
                    self._turn(ready)
        return self.count

    def _turn(self, ready: Array) -> None:
        limit = len(self.program)
        if self.random is not None:
            warps = np.unique(self.all_warps[ready])
            if self.current not in warps or self.random.random() < 0.1:  # a warp that runs far ahead finds what taking turns does not
                self.current = int(self.random.choice(warps))
            ready &= self.all_warps == self.current
            limit = int(self.random.integers(1, 40))
        p = int(self.pc[ready].min())
        here = ready & (self.pc == p)
        rest = self.pc[ready & ~here]
        stop = int(rest.min()) if rest.size else len(self.program)
        self._straight(p, None if here.all() else here, stop, limit)

    def _go_without(self) -> None:
        """Nobody else can come: those that stand at the first instruction of a whole warp go on alone, and it says what it thinks of that."""
        p = int(self.pc[self.gathering].min())
        here = self.gathering & (self.pc == p)
        self.gathering &= ~here
        self._straight(p, here, p + 1, 1, alone=True)

    def _gather(self, p: int, mask: Array) -> Any:
        """-> those whose warp is complete at p; False: nobody. The others wait: where a branch's ends lie, a block before the way to it, is the compiler's
        choice, so the lowest instruction alone would not bring a warp together again."""
        came = mask | (self.gathering & (self.pc == p))
        missing = (self.live & ~came).reshape(-1, 32).any(1)
        early = came & np.repeat(missing, 32)
        self.pc[early] = p
        self.gathering = (self.gathering & ~came) | early
        here = came & ~early
        if not here.any():
            return False
        return None if here.all() else here

    def _straight(self, p: int, mask: Mask, stop: int, limit: int, alone: bool = False) -> None:
        """From instruction p on, until a jump, a barrier, or where others stand."""
        m, program, first = self.m, self.program, p
        try:
            while p < stop and limit > 0:
                code = program[p]
                if code.action >= GATHER:
                    if code.action == GATHER and mask is not None and not alone:
                        mask = self._gather(p, mask)
                        if mask is False:
                            self.count += p - first
                            return
                    if code.predicate is None:
                        code.step(m, mask)
                    else:
                        taken = self._taken(code, mask)
                        if taken is not False:
                            code.step(m, taken)
                    p += 1
                    limit -= 1
                    continue
                self.count += p - first + 1
                if self.count > self.most:
                    raise Fault(f"more than {self.most} steps: a loop that does not end")
                self._control(p, code, mask)
                return
        except Fault as fault:
            raise self._violation(p, str(fault), mask) from None
        except Violation:
            raise
        except (IndexError, ValueError, TypeError, AssertionError) as error:
            raise RuntimeError(f"{m.kernel.name}, ptx line {program[p].one.line}: emulation failed: {error!r} [{program[p].one.text}]") from error
        self.count += p - first
        self._set(mask, p)

    def _taken(self, code: Code, mask: Mask) -> Any:
        """The mask under a predicate; False: nobody."""
        assert code.predicate is not None
        taken = np.broadcast_to(code.predicate(self.m), (self.m.lanes,))
        if mask is not None:
            taken = taken & mask
        if not taken.any():
            return False
        return None if taken.all() else taken

    def _set(self, mask: Mask, p: int) -> None:
        if mask is None:
            self.pc[:] = p
        else:
            self.pc[mask] = p

    def _control(self, p: int, code: Code, mask: Mask) -> None:
        taken = mask if code.predicate is None else self._taken(code, mask)
        self._set(mask, p + 1)
        if taken is False:
            return
        if code.action == BRANCH:
            self._set(taken, code.one.target)
        elif code.action == EXIT:
            if code.one.name == "trap":
                raise Fault("trap")
            lanes = slice(None) if taken is None else taken
            self.live[lanes] = False
            self._release(taken)
        elif code.action == BARRIER:
            self._meet(code, taken)
        elif code.action == TRY:
            self._try(p, code, taken)
        else:
            self._together(p, code, taken)

    def _try(self, p: int, code: Code, taken: Mask) -> None:
        """A wait for an mbarrier: lanes whose phase is not complete sleep until some mbarrier completes one."""
        failed = code.step(self.m, taken)
        if failed.any():
            self.pc[failed] = p
            self.blocked |= failed

    def _wake(self) -> None:
        """Some mbarrier has completed a phase: whoever sleeps looks again."""
        if self.m.progress:
            self.m.progress = 0
            self.blocked[:] = False

    def _together(self, p: int, code: Code, taken: Mask) -> None:
        """wgmma: the four warps of a warpgroup come one by one and go together."""
        here = np.ones(self.m.lanes, bool) if taken is None else taken
        groups = self.m.block_of * 16 + self.m.warp // 4
        came = here | (self.blocked & (self.pc == p))
        late = np.isin(groups, np.unique(groups[self.live & ~came]))
        early, complete = here & late, came & ~late
        self.pc[early] = p
        self.blocked |= early
        if complete.any():
            self.blocked &= ~complete
            code.step(self.m, None if complete.all() else complete)
            self.pc[complete] = p + 1

    def _meet(self, code: Code, taken: Mask) -> None:
        m = self.m
        number, expected = code.step
        here = np.ones(m.lanes, bool) if taken is None else taken
        which = m.full(number(m), np.int64)
        threads = m.full(0 if expected is None else expected(m), np.int64)
        if "arrive" in code.one.words:
            for block in np.unique(m.block_of[here]):
                lanes = here & (m.block_of == block)
                key = (int(block), int(which[lanes][0]))
                self.arrived[key] = self.arrived.get(key, 0) + int(lanes.sum())
                self.arrived_warps[key] = self.arrived_warps.get(key, 0) | int(np.bitwise_or.reduce(m.bit[lanes]))
        else:
            self.waiting |= here
            self.barrier = np.where(here, which, self.barrier)
            self.expected = np.where(here, threads, self.expected)
        self._release(taken)

    def _release(self, mask: Mask) -> None:
        """Lets blocks through whose barriers are complete. A thread that has ended counts as come."""
        m = self.m
        if mask is None and self.waiting.all() and (self.barrier == self.barrier[0]).all() and not self.expected.any():
            m.shared.wrote[:] = 0
            m.shared.read[:] = 0
            self.waiting[:] = False
            return
        for block in np.unique(m.block_of if mask is None else m.block_of[mask]):
            inside = m.block_of == block
            for number in np.unique(self.barrier[inside & self.waiting]):
                lanes = inside & self.waiting & (self.barrier == number)
                wanted = int(self.expected[lanes].max())
                came = int(lanes.sum()) + self.arrived.get((int(block), int(number)), 0)
                if came < (wanted or int((inside & self.live).sum())):
                    continue
                if len(set(self.pc[lanes].tolist())) > 1 and not wanted:
                    lines = sorted({self.program[p - 1].one.line for p in self.pc[lanes].tolist()})
                    raise Fault(f"threads of one block meet at different barriers: ptx lines {lines}")
                warps = int(np.bitwise_or.reduce(m.bit[lanes])) | self.arrived_warps.pop((int(block), int(number)), 0)
                self.arrived.pop((int(block), int(number)), None)
                m.shared.barrier(int(block), 0xFF if came >= m.per_block else warps)
                self.waiting &= ~lanes

    def _violation(self, p: int, what: str, mask: Mask) -> Violation:
        one = self.program[p].one
        blocks = sorted({self.m.blocks[int(b)] for b in self.m.block_of[self.m.active(mask)]})
        return Violation(self.m.kernel.name, f"{what}, ptx line {one.line} [{one.text}]", program=blocks[0])

    def _leftovers(self) -> None:
        """What may not be left behind when a block ends."""
        if self.m.state.get("stores"):
            raise Violation(self.m.kernel.name, "ends while a TMA store still reads its shared memory: cp.async.bulk.wait_group is missing")
        if any(warp.flights for warp in self.m.state.get("wgmma", {}).values()):
            raise Violation(self.m.kernel.name, "ends while a wgmma has not been waited for")

    def _deadlock(self) -> None:
        asleep, met = self.live & self.blocked, self.live & self.waiting
        stuck = asleep if asleep.any() else met
        p = int(self.pc[stuck].min()) - (0 if asleep.any() else 1)
        lines = sorted({self.program[q].one.line for q in self.pc[asleep].tolist()}), sorted({self.program[q - 1].one.line for q in self.pc[met].tolist()})
        what = f"deadlock: {int(asleep.sum())} threads wait for an mbarrier (ptx lines {lines[0]}), {int(met.sum())} at a barrier (ptx lines {lines[1]})"
        raise self._violation(p, what, stuck)


__all__ = ["Code", "Scheduler", "Step", "decode_kernel"]
