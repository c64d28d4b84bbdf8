"""Sizes that are not known yet: integer expressions over named dimensions.

A shape may hold `Size`s beside ints. They are sums of products, kept in one normal form, so that two ways to the same size are equal; a quotient that
does not divide out is an atom of its own. A comparison that the dimensions' ranges do not settle is answered at the example's size (`Dim.hint`) and
kept as an assumption (`assumptions`); the engine checks every call's real sizes when it binds."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .errors import ShapeError


@dataclass(frozen=True)
class Dim:
    """A named dimension, at least `lower` and, where given, at most `upper`."""

    name: str
    hint: int = 2
    lower: int = 0
    upper: int = 0  # 0: unbounded

    def range(self) -> tuple[float, float]:
        return float(self.lower), float(self.upper) if self.upper else math.inf


@dataclass(frozen=True)
class Quotient:
    """floor(numerator / denominator), where it does not divide out."""

    numerator: "Size"
    denominator: int

    @property
    def hint(self) -> int:
        return self.numerator.hint // self.denominator

    def range(self) -> tuple[float, float]:
        low, high = self.numerator.range()
        return low // self.denominator if math.isfinite(low) else low, high // self.denominator if math.isfinite(high) else high


Atom = Dim | Quotient
Monomial = tuple[Atom, ...]


class Size:
    """sum of coefficient * product of atoms."""

    __slots__ = ("terms",)

    def __init__(self, terms: Mapping[Monomial, int]) -> None:
        self.terms: dict[Monomial, int] = {m: c for m, c in terms.items() if c}

    @staticmethod
    def of(what: "int | Dim | Size") -> "Size":
        if isinstance(what, Size):
            return what
        return Size({(what,): 1} if isinstance(what, Dim) else {(): int(what)})

    @property
    def hint(self) -> int:
        total = 0
        for atoms, c in self.terms.items():
            for a in atoms:
                c *= a.hint
            total += c
        return total

    def range(self) -> tuple[float, float]:
        """What its value lies between, as far as the dimensions' bounds say."""
        low = high = 0.0
        for atoms, c in self.terms.items():
            least, most = 1.0, 1.0
            for a in atoms:
                bottom, top = a.range()
                if bottom < 0:
                    return -math.inf, math.inf
                least, most = least * bottom, most * top if top else 0.0
            low, high = (low + c * least, high + c * most) if c > 0 else (low + c * most, high + c * least)
        return low, high

    def evaluate(self, sizes: Mapping[str, int]) -> int:
        """The integer for given sizes of the named dimensions."""
        total = 0
        for atoms, c in self.terms.items():
            for a in atoms:
                c *= sizes[a.name] if isinstance(a, Dim) else a.numerator.evaluate(sizes) // a.denominator
            total += c
        return total

    def __add__(self, other: "int | Size") -> "int | Size":
        terms = dict(self.terms)
        for m, c in Size.of(other).terms.items():
            terms[m] = terms.get(m, 0) + c
        return _plain(terms)

    def __mul__(self, other: "int | Size") -> "int | Size":
        terms: dict[Monomial, int] = {}
        for a, x in self.terms.items():
            for b, y in Size.of(other).terms.items():
                m = tuple(sorted(a + b, key=repr))
                terms[m] = terms.get(m, 0) + x * y
        return _plain(terms)

    def __floordiv__(self, other: "int | Size") -> "int | Size":
        return self._divide_by_size(other) if isinstance(other, Size) else _floor(self, other)

    def _divide_by_size(self, other: "Size") -> "int | Size":
        """Division of polynomials that leaves nothing, or ShapeError."""
        rest, quotient = self, Size({})
        lead, by = max(other.terms.items(), key=_order)
        while rest.terms:
            atoms, c = max(rest.terms.items(), key=_order)
            left = _without(atoms, lead)
            if left is None or c % by:
                raise ShapeError(f"{self} does not divide by {other}")
            step = Size({left: c // by})
            quotient = Size.of(quotient + step)
            rest = Size.of(rest - Size.of(step * other))
        return _plain(quotient.terms)

    def __mod__(self, other: "int | Size") -> "int | Size":
        return self - (self // other) * other

    def __sub__(self, other: "int | Size") -> "int | Size":
        return self + Size.of(other) * -1

    def __rsub__(self, other: int) -> "int | Size":
        return self * -1 + other

    def __rfloordiv__(self, other: int) -> "int | Size":
        return Size.of(other)._divide_by_size(self)

    def __neg__(self) -> "int | Size":
        return self * -1

    __radd__ = __add__
    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (int, Size)) and self.terms == Size.of(other).terms

    def __hash__(self) -> int:
        return hash(frozenset(self.terms.items()))

    def __lt__(self, other: "int | Size") -> bool:
        return _below(self - other, 0)

    def __le__(self, other: "int | Size") -> bool:
        return _below(self - other, 1)

    def __gt__(self, other: "int | Size") -> bool:
        return not self <= other

    def __ge__(self, other: "int | Size") -> bool:
        return not self < other

    def __repr__(self) -> str:
        def name(a: Atom) -> str:
            if isinstance(a, Dim):
                return a.name
            inner = str(a.numerator)
            return f"({f'({inner})' if len(a.numerator.terms) > 1 else inner}//{a.denominator})"

        def word(m: Monomial, c: int) -> str:
            names = "*".join(map(name, m))
            return names if c == 1 and names else f"{c}*{names}" if names else str(c)

        return " + ".join(word(m, c) for m, c in self.terms.items()) or "0"


def _order(term: "tuple[Monomial, int]") -> tuple[int, str]:
    return len(term[0]), repr(term[0])


def _without(atoms: Monomial, others: Monomial) -> Monomial | None:
    left = list(atoms)
    for a in others:
        if a not in left:
            return None
        left.remove(a)
    return tuple(left)


def _floor(n: Size, d: int) -> "int | Size":
    """floor(n / d) in one form: whole multiples of d in front, one division for several, no common factor, a remainder in [0, d)."""
    if d < 0:
        return _floor(Size.of(n * -1), -d)
    whole = {m: c // d for m, c in n.terms.items()}
    rest = {m: c % d for m, c in n.terms.items() if c % d}
    k = rest.pop((), 0)
    if not rest:
        return _plain(whole)
    common = math.gcd(d, *rest.values())
    rest, k, d = {m: c // common for m, c in rest.items()}, k // common, d // common
    if d > 1:
        ((atoms, c), *more) = rest.items()
        if not more and c == 1 and len(atoms) == 1 and isinstance(atoms[0], Quotient):  # floor((floor(a / b) + k) / d) = floor((a + k b) / (b d))
            inner = atoms[0]
            return Size.of(_floor(Size.of(inner.numerator + k * inner.denominator), inner.denominator * d)) + Size(whole)
        rest, whole[()] = {(Quotient(Size({**rest, (): k % d}), d),): 1}, whole.get((), 0) + k // d
    else:
        rest[()] = k
    return Size.of(Size(whole) + Size(rest)) + 0


@dataclass(frozen=True)
class Assumption:
    """Whether `difference` < `bound`, answered at the example's size."""

    difference: "Size"
    bound: int
    answer: bool

    def holds(self, sizes: Mapping[str, int]) -> bool:
        return (self.difference.evaluate(sizes) < self.bound) == self.answer


_assumed: list[set[Assumption]] = []


@contextlib.contextmanager
def assumptions() -> Iterator[set[Assumption]]:
    """Inside, every comparison whose answer depends on the dimensions' sizes is kept: what is made holds while all of them do."""
    _assumed.append(set())
    try:
        yield _assumed[-1]
    finally:
        _assumed.pop()


def _below(difference: "int | Size", bound: int) -> bool:
    """difference < bound: for every size of the dimensions, if their ranges say so; else for the example."""
    if not isinstance(difference, Size):
        return difference < bound
    low, high = difference.range()
    if high < bound or low >= bound:
        return high < bound
    answer = difference.hint < bound
    if _assumed:
        _assumed[-1].add(Assumption(difference, bound, answer))
    return answer


AnySize = int | Size
Shape = tuple[AnySize, ...]


def _plain(terms: Mapping[Monomial, int]) -> AnySize:
    """A Size, or an int when nothing is left unknown."""
    size = Size(terms)
    return size if any(size.terms) else size.terms.get((), 0)


def product(shape: Shape) -> AnySize:
    n: AnySize = 1
    for s in shape:
        n = n * s
    return n
