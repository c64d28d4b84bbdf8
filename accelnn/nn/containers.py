"""Lists and dictionaries of modules and parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..core.tensor import Tensor
from .module import Module, Parameter


class ModuleList(Module):
    """Modules by position; call them yourself."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.items = list(modules or ())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        return ((str(i), m) for i, m in enumerate(self.items))

    def append(self, module: Module) -> ModuleList:
        self.items.append(module)
        return self

    def extend(self, modules: Iterable[Module]) -> ModuleList:
        self.items.extend(modules)
        return self

    def insert(self, index: int, module: Module) -> None:
        self.items.insert(index, module)

    def __getitem__(self, i: int | slice) -> Any:
        return ModuleList(self.items[i]) if isinstance(i, slice) else self.items[i]

    def __setitem__(self, i: int, module: Module) -> None:
        self.items[i] = module

    def __delitem__(self, i: int | slice) -> None:
        del self.items[i]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Module]:
        return iter(self.items)


class ModuleDict(Module):
    """Modules by name."""

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        self.table = dict(modules or ())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        return iter(self.table.items())

    def update(self, modules: Mapping[str, Module]) -> None:
        self.table.update(modules)

    def pop(self, key: str) -> Module:
        return self.table.pop(key)

    def keys(self) -> Iterable[str]:
        return self.table.keys()

    def values(self) -> Iterable[Module]:
        return self.table.values()

    def items(self) -> Iterable[tuple[str, Module]]:
        return self.table.items()

    def __getitem__(self, key: str) -> Module:
        return self.table[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.table[key] = module

    def __delitem__(self, key: str) -> None:
        del self.table[key]

    def __contains__(self, key: object) -> bool:
        return key in self.table

    def __len__(self) -> int:
        return len(self.table)

    def __iter__(self) -> Iterator[str]:
        return iter(self.table)


def _parameter(x: Any) -> Tensor:
    return x if isinstance(x, Tensor) else Parameter(x)


class ParameterDict(Module):
    """Parameters by name: fields of this module."""

    def __init__(self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None) -> None:
        super().__init__()
        for key, x in dict(parameters or ()).items():
            self[key] = x

    def _table(self) -> dict[str, Tensor]:
        return {name: x for name, x in vars(self).items() if isinstance(x, Tensor)}

    def keys(self) -> Iterable[str]:
        return self._table().keys()

    def values(self) -> Iterable[Tensor]:
        return self._table().values()

    def items(self) -> Iterable[tuple[str, Tensor]]:
        return self._table().items()

    def __getitem__(self, key: str) -> Tensor:
        return self._table()[key]

    def __setitem__(self, key: str, x: Any) -> None:
        vars(self)[key] = _parameter(x)

    def __delitem__(self, key: str) -> None:
        del vars(self)[key]

    def __contains__(self, key: object) -> bool:
        return key in self._table()

    def __len__(self) -> int:
        return len(self._table())

    def __iter__(self) -> Iterator[str]:
        return iter(self._table())


class ParameterList(ParameterDict):
    """Parameters by position."""

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__((str(i), x) for i, x in enumerate(values or ()))

    def append(self, x: Any) -> ParameterList:
        vars(self)[str(len(self))] = _parameter(x)
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        for x in values:
            self.append(x)
        return self

    def __getitem__(self, i: Any) -> Any:
        return list(self.values())[i]

    def __setitem__(self, i: Any, x: Any) -> None:
        vars(self)[str(range(len(self))[i] if isinstance(i, int) else i)] = _parameter(x)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values())


__all__ = ["ModuleDict", "ModuleList", "ParameterDict", "ParameterList"]
