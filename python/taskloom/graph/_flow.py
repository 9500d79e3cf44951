"""Branches and loops: a value that is there only while the run goes on decides which nodes run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

from taskloom import _taskloom
from taskloom._asynchrony import is_coroutine_function
from taskloom._taskloom import Node, Pack, Use
from taskloom.access import Lookup
from taskloom.errors import GraphError, LoopLimitError, OptionError
from taskloom.flow import NotTaken, Passed
from taskloom.graph._arity import arity
from taskloom.graph._place import ORDINARY, kind_of
from taskloom.graph._shapes import Adder, Shapes, node_of
from taskloom.task import Options

__all__ = ["Flows"]

_NOTHING: Any = object()
_CONTAINERS = (list, tuple, dict, Pack)


def _together(values: Any) -> Any:
    return values


class Flows(Shapes):
    """What graphs and their views have for branches and loops."""

    __slots__: tuple[str, ...] = ()  # spelled out: mypy meets this class before it is inferred

    def branch(
        self,
        selector: Node[Any],
        cases: Mapping[Any, Any],
        /,
        *,
        default: Any = _NOTHING,
    ) -> Node[Any]:
        """A node with the value of the one case that `selector` chooses; the others are skipped.

        What is skipped for that reason is no failure: the run goes on and is `ok`. If the case that
        was taken fails, is skipped or ends its branch, so does this node.

        Parameters
        ----------
        selector
            The node whose value is looked up among the keys of `cases`.
        cases
            By key: a function that is called now with the graph, adds the nodes of the case to
            it and returns the one whose value counts, or a list, tuple or dict of them; or a
            node, which then runs only in this case, though not what it reads; or anything else,
            which is the value itself.
        default
            The case for all other values. Without one, such a value is the node's `GraphError`.

        A case may write to a value from outside. If it is not taken, it has not written, and later
        users find the value as it was. It may also take or forward it, where only other cases use
        the value after that.

        >>> import taskloom
        >>> g = taskloom.Graph()
        >>> text = g.add(str.strip, " 42 ")
        >>> value = g.branch(
        ...     g.add(str.isdigit, text),
        ...     {True: lambda g: g.add(int, text), False: g.add(len, text)},
        ... )
        >>> taskloom.run(g)[value]
        42
        """
        chooser = node_of(selector)
        if chooser is None:
            raise TypeError(f"branch is decided by a node, not {selector!r}: add one that says")
        if not isinstance(cases, Mapping):
            raise TypeError(f"the cases of a branch are a mapping from values, not {cases!r}")
        if not cases and default is _NOTHING:
            raise GraphError("a branch without a case or a default has nothing to choose from")
        adder = self._adder()
        choice = _Choice(tuple(cases), default is not _NOTHING)
        bodies = [*cases.values(), *([default] if choice.has_default else [])]
        if kind_of(_Join, adder.given) != ORDINARY:
            raise OptionError(
                "a branch only hands a value on: give place, timeout, deadline and resources to "
                "the nodes of its cases"
            )
        outcomes: list[Any] = []
        members: list[list[Node[Any]]] = []
        for place, body in enumerate(bodies):
            outcome, own = self._case(adder, chooser, choice, place, body)
            tail = node_of(outcome)
            outcomes.append(outcome if tail is None else Use("join", tail))
            members.append(own)
        join = adder.add(_Join(choice), (chooser, *outcomes))
        for place, own in enumerate(members):
            adder.graph._put_into_case(own, join, place)
        return join

    def _case(
        self, adder: Adder, chooser: Node[Any], choice: _Choice, place: int, body: Any
    ) -> tuple[Any, list[Node[Any]]]:
        """Adds what runs in one case only, behind a guard: what it comes to, and its nodes."""
        node = node_of(body)
        if node is None and not callable(body) and not isinstance(body, _CONTAINERS):
            return body, []
        graph = adder.graph
        given = Options(on_error="cancel_dependents")
        guard = graph._add_seen(given, None, _Guard(choice, place), (chooser,), None)
        if node is not None:
            guard.before(node)
            return node, [node]
        if callable(body):
            fewest, most = arity(body)
            if not fewest <= 1 <= most:
                raise TypeError(
                    f"case {choice.name(place)} is to be a function of the graph, which adds the "
                    f"nodes of the case to it, and {body!r} does not take one argument"
                )
        first = len(graph)
        outcome = body(graph) if callable(body) else body
        tail = node_of(outcome)
        if tail is None and isinstance(outcome, _CONTAINERS):
            # A node that is skipped with the case: what is inside may be nodes of it.
            outcome = graph.add(_together, outcome)
        if tail is not None and tail.graph is not graph:
            raise GraphError(
                f"case {choice.name(place)} gives node {tail.name!r} of another graph: add its "
                "nodes to the graph that the function is called with"
            )
        # Values of the context are there for everybody, whoever asked for them first.
        own = [node for node in graph.nodes[first:] if not isinstance(node.function, Lookup)]
        guard.before(*own)
        return outcome, own

    def loop(
        self,
        body: Callable[[Any], Any],
        /,
        initial: Any,
        *,
        max_iterations: int,
        until: Callable[[Any], object] | None = None,
        while_: Callable[[Any], object] | None = None,
    ) -> Node[Any]:
        """A node that calls `body` with its last result, beginning with `initial`; gives the last.

        An iteration may be a graph of its own: let a plain `body` return a `taskloom.Spawn`.

        Parameters
        ----------
        body
            Called as `body(state)`; returns the next state. It may be `async def`, and so may
            `until` and `while_`: then the whole loop is a coroutine node.
        initial
            The first state: a node, or a value.
        max_iterations
            How often `body` is called at most.
        until
            The loop is over as soon as `until(state)` is true, which is asked after each iteration.
        while_
            The loop goes on while `while_(state)` is true, which is asked before each iteration.

        Without `until` and `while_` there are exactly `max_iterations` of them. With one of them, a
        loop that is not over by then fails with `LoopLimitError`, which carries the last `state`.
        When the run is stopped, the iteration that goes on is the last.

        >>> import taskloom
        >>> g = taskloom.Graph()
        >>> def newton(x):
        ...     return (x + 2 / x) / 2
        >>> root = g.loop(newton, 1.0, until=lambda x: abs(x * x - 2) < 1e-9, max_iterations=50)
        >>> round(taskloom.run(g)[root], 6)
        1.414214
        """
        if not callable(body):
            raise TypeError(f"loop calls a function of the state, not {body!r}")
        if isinstance(max_iterations, bool) or not isinstance(max_iterations, int):
            raise TypeError(f"max_iterations={max_iterations!r} must be a whole number")
        if max_iterations < 0:
            raise ValueError(f"max_iterations={max_iterations} must be 0 or more")
        if until is not None and while_ is not None:
            raise TypeError("loop takes until or while_, not both")
        asynchronous = any(map(is_coroutine_function, filter(None, (body, until, while_))))
        kind = _AsyncLoop if asynchronous else _Loop
        return self._adder().add(kind(body, until, while_, max_iterations), (initial,))


@final
class _Choice:
    """The keys of a branch, the default last."""

    def __init__(self, keys: tuple[Any, ...], has_default: bool) -> None:
        self.keys = keys
        self.has_default = has_default
        self._places = {key: place for place, key in enumerate(keys)}

    def place(self, value: Any) -> int | None:
        """The place of the case for a value; None if there is none."""
        try:
            found = self._places.get(value)
        except TypeError:  # not hashable, so no key
            found = None
        return len(self.keys) if found is None and self.has_default else found

    def name(self, place: int) -> str:
        return repr(self.keys[place]) if place < len(self.keys) else "default"


@final
class _Guard:
    """What runs before the nodes of a case, and keeps them from running."""

    def __init__(self, choice: _Choice, place: int) -> None:
        self.choice = choice
        self.place = place
        self.__name__ = f"case {choice.name(place)}"

    def __call__(self, value: Any) -> None:
        if self.choice.place(value) != self.place:
            raise NotTaken


@final
class _Join:
    """What gives the value of the case that was taken. A case that gave none shows as `Use`."""

    __name__ = "branch"

    def __init__(self, choice: _Choice) -> None:
        self.choice = choice

    def __call__(self, value: Any, *outcomes: Any) -> Any:
        place = self.choice.place(value)
        if place is None:
            names = ", ".join(map(repr, self.choice.keys))
            raise GraphError(f"a branch has no case for {value!r}: it has {names}, and no default")
        outcome = outcomes[place]
        if outcome is Use:
            raise Passed(1 + place)
        return outcome


class _Iteration:
    """What a loop calls, and how often."""

    def __init__(
        self,
        body: Callable[[Any], Any],
        until: Callable[[Any], object] | None,
        while_: Callable[[Any], object] | None,
        most: int,
    ) -> None:
        self.body = body
        self.until = until
        self.while_ = while_
        self.most = most
        name = getattr(body, "__name__", type(body).__name__)
        self.__name__ = f"loop {name}"

    def too_many(self, state: Any) -> LoopLimitError:
        error = LoopLimitError(f"the loop was not over after max_iterations={self.most} iterations")
        error.state = state
        return error


@final
class _Loop(_Iteration):
    def __call__(self, state: Any) -> Any:
        for _ in range(self.most):
            if self.while_ is not None and not self.while_(state):
                return state
            _taskloom._pause(0.0)  # raises if the run was stopped
            state = self.body(state)
            if _taskloom._is_spawn(state):
                state = state._run()
            if self.until is not None and self.until(state):
                return state
        if self.until is None and (self.while_ is None or not self.while_(state)):
            return state
        raise self.too_many(state)


@final
class _AsyncLoop(_Iteration):
    """The same, where one of the functions is `async def`."""

    async def __call__(self, state: Any) -> Any:
        for _ in range(self.most):
            if self.while_ is not None and not await _awaited(self.while_(state)):
                return state
            await _taskloom.sleep(0)  # raises if the run was stopped, and lets others go on
            state = await _awaited(self.body(state))
            if _taskloom._is_spawn(state):
                raise GraphError(
                    "an iteration of a loop that is `async def` returned a Spawn, which needs the "
                    "run's own loop: return it from a plain function"
                )
            if self.until is not None and await _awaited(self.until(state)):
                return state
        if self.until is None and (self.while_ is None or not await _awaited(self.while_(state))):
            return state
        raise self.too_many(state)


async def _awaited(value: Any) -> Any:
    return await value if hasattr(value, "__await__") else value
