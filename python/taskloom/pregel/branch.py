"""Conditional edges: a function of the state that says where to go on."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from inspect import isfunction, ismethod, signature
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from taskloom.pregel.callee import Callee
from taskloom.pregel.constants import BRANCH_TO, END, START, TASKS
from taskloom.pregel.errors import InvalidUpdateError
from taskloom.pregel.types import Send
from taskloom.pregel.write import Declared

if TYPE_CHECKING:
    from taskloom.pregel.tasks import Task


def _function(source: Any) -> Callable[..., Any] | None:
    if isfunction(source) or ismethod(source):
        return source
    call = getattr(source, "__call__", None)  # noqa: B004
    if ismethod(call):
        return call
    func = getattr(source, "func", None) or getattr(source, "afunc", None)
    return func if isfunction(func) or ismethod(func) else None


def input_schema_of(source: Any) -> type | None:
    """The class that annotates a callable's first parameter, if it has annotated keys itself."""
    func = _function(source)
    if func is None:
        return None
    try:
        hints = get_type_hints(func)
        hint = hints.get(next(iter(signature(func).parameters)))
        if isinstance(hint, type) and get_type_hints(hint):
            return hint
    except (NameError, TypeError, ValueError, StopIteration):
        pass
    return None


class Branch:
    """A conditional edge.

    Args:
        path: returns one or several of: node name, `Send`, key of `path_map`.
        path_map: what `path` returns, to node names; a list stands for itself.
    """

    __slots__ = ("callee", "ends", "input_schema")

    def __init__(
        self,
        path: Callee,
        path_map: Mapping[Hashable, str] | Sequence[str] | None,
    ) -> None:
        self.callee = path
        self.input_schema = input_schema_of(path.source)
        self.ends: dict[Hashable, str] | None = None
        if isinstance(path_map, Mapping):
            self.ends = dict(path_map)
        elif path_map is not None:
            self.ends = {name: name for name in path_map}
        else:
            self.ends = self._declared_ends()

    def _declared_ends(self) -> dict[Hashable, str] | None:
        func = _function(self.callee.source)
        if func is None:
            return None
        try:
            returned = get_type_hints(func).get("return")
        except (NameError, TypeError):
            return None
        if get_origin(returned) is not Literal:
            return None
        return {name: name for name in get_args(returned)}


class BranchWriter:
    """Runs a branch after its node, with the state as the node left it.

    Args:
        branch: the conditional edge.
        select: the cells that it reads.
        mapper: makes them what the branch takes, or None for a dict.
        managed: the managed values that it reads.
    """

    __slots__ = ("all_plain", "branch", "managed", "mapper", "select")

    def __init__(
        self,
        branch: Branch,
        select: str | Sequence[str],
        mapper: Callable[[Any], Any] | None,
        managed: Sequence[str] = (),
    ) -> None:
        self.branch = branch
        self.select = select
        self.mapper = mapper
        self.managed = managed
        self.all_plain: bool | None = None

    def _input(self, task: Task, returned: Any) -> Any:
        loop = task.loop
        select = self.select
        if self.all_plain is None:
            self.all_plain = not isinstance(select, str) and loop.program.reads_all(select)
        state = loop.cells.read_fresh(select, task.writes, all_plain=self.all_plain)
        for key in self.managed:
            state[key] = loop.program.managed[key].get(loop)
        if self.mapper is not None:
            return self.mapper(state)
        both = isinstance(state, dict) and isinstance(returned, dict)
        if both and self.branch.input_schema is None and not returned.keys() <= state.keys():
            return {**returned, **state}
        return state

    def write(self, task: Task, value: Any) -> None:
        """Append the writes of where the branch goes."""
        callee = self.branch.callee
        if callee.func is None:
            raise callee.missing_sync()
        given = self._input(task, value)
        if callee.injected:
            chosen = callee.func(given, **task.inject(callee.injected))
        else:
            chosen = callee.func(given)
        self._finish(task, chosen)

    async def awrite(self, task: Task, value: Any) -> None:
        """As `write`, for branches whose function is async."""
        callee = self.branch.callee
        if callee.afunc is None:
            self.write(task, value)
            return
        given = self._input(task, value)
        self._finish(task, await callee.afunc(given, **task.inject(callee.injected)))

    def _finish(self, task: Task, chosen: Any) -> None:
        ends = self.branch.ends
        for choice in chosen if isinstance(chosen, list | tuple) else (chosen,):
            if isinstance(choice, Send):
                if choice.node == END:
                    raise InvalidUpdateError("Cannot send a packet to the END node")
                task.writes.append((TASKS, choice))
                continue
            target = (
                choice if not ends else ends[choice] if choice in ends else self._no_end(choice)
            )
            if target is None or target == START:
                raise ValueError(
                    "Branch did not return a valid destination: "
                    f"{self.branch.callee.name or 'condition'} returned {choice!r}"
                )
            if target != END:
                task.writes.append((BRANCH_TO + target, None))

    def _no_end(self, choice: Any) -> str:
        name = self.branch.callee.name or "condition"
        known = ", ".join(map(repr, self.branch.ends or ()))
        raise KeyError(f"{name} returned {choice!r}; its path_map has {known}")

    def declared(self) -> list[Declared]:
        """The nodes that the branch may go to, with the label of each edge."""
        ends = self.branch.ends or {}
        return [
            (target if target == END else BRANCH_TO + target, str(label))
            for label, target in ends.items()
        ]
