"""What LangChain's callbacks hear of a run: tracers, and the `messages` stream of its models.

Only a run with `callbacks` in its config, or one whose `messages` are streamed in a program that
has imported LangChain, has a `Tracing`; all others never come here. The run is one chain to
LangChain, each attempt of a task a chain within it, and the config that a node sees (passed on to
a model, or found there by it) leads back to that attempt.

Runs and tasks report by LangChain's sync manager, also in async runs: handlers with async methods
are waited for. What models report within a node is up to LangChain.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import types
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from taskloom.pregel.config import checkpoint_metadata_of
from taskloom.pregel.context import ambient_task
from taskloom.pregel.langchain_tools import shown_at, tool_handler_class
from taskloom.pregel.stream import SHOWN_BY, message_id

if TYPE_CHECKING:
    from taskloom.pregel.callbacks import Listeners
    from taskloom.pregel.loop import Loop
    from taskloom.pregel.tasks import Task

T = TypeVar("T")
_INTERNAL_TAG = "seq:step"  # LangChain's own; a user did not set them


def tracing_for(loop: Loop) -> Tracing | None:
    """The tracing of a run that is about to begin, or None if nobody listens.

    Raises:
        ModuleNotFoundError: the config has callbacks, but LangChain is not installed.
    """
    shown: frozenset[str] = frozenset()
    progress = False
    if "langchain_core.callbacks" in sys.modules:
        shown = frozenset() if loop.stream is None else loop.stream.own & {"messages", "tools"}
        progress = loop.program.has_timeouts and any(
            node.timeout is not None and node.timeout.idle_timeout is not None
            for node in loop.program.nodes.values()
        )
    if not shown and not progress and not _hears_of_chains(loop.config.get("callbacks")):
        return None
    return Tracing(loop, shown, progress=progress)


def listeners_of(loop: Loop) -> Listeners | None:
    """Who hears of the run's stops; None if nobody does."""
    callbacks = sys.modules.get("taskloom.pregel.callbacks")  # only then there can be a handler
    if callbacks is None:
        return None
    found: Listeners | None = callbacks.Listeners.among(loop.config.get("callbacks"))
    return found


def _hears_of_chains(callbacks: Any) -> bool:
    """Whether LangChain is needed for these: not if they only hear of stops."""
    ours = sys.modules.get("taskloom.pregel.callbacks")
    if not callbacks or ours is None:
        return bool(callbacks)
    return not all(
        isinstance(handler, ours.GraphCallbackHandler) and not hasattr(handler, "on_chain_start")
        for handler in ours.handlers_in(callbacks)
    )


class Tracing:
    """One run as LangChain's callbacks see it.

    Args:
        loop: the run.
        shown: "messages" to show what models say in the run's stream, "tools" what tools do.
        progress: nodes have idle timeouts: all that is heard of within one puts its off.
    """

    def __init__(self, loop: Loop, shown: frozenset[str], *, progress: bool) -> None:
        manager_class = importlib.import_module("langchain_core.callbacks").CallbackManager
        config = loop.config
        manager = manager_class.configure(
            inheritable_callbacks=config.get("callbacks"),
            inheritable_tags=config.get("tags"),
            inheritable_metadata={**SHOWN_BY, **checkpoint_metadata_of(config)},
        )
        if "messages" in shown:
            manager.add_handler(_handler_class()(loop), True)
        if "tools" in shown:
            manager.add_handler(tool_handler_class()(loop), True)
        if progress:
            manager.add_handler(_progress_class()(), True)
        self.loop = loop
        self.run: Any = manager.on_chain_start(
            None,
            loop.input,
            name=loop.own_config.get("run_name") or loop.graph.name,
            run_id=loop.own_config.get("run_id"),
        )

    def end(self, error: BaseException | None) -> None:
        """The run has ended, with `error` or with its output."""
        if error is None:
            self.run.on_chain_end(self.loop.output)
        else:
            self.run.on_chain_error(error)

    def attempt(self, task: Task, call: Callable[[Task], T]) -> T:
        """Make one attempt of a task that LangChain hears of."""
        if _runs_nothing(task):
            return call(task)
        with self._told(task) as tell:
            return tell(call(task))

    async def aattempt(self, task: Task, call: Callable[[Task], Awaitable[T]]) -> T:
        """As `attempt`."""
        if _runs_nothing(task):
            return await call(task)
        with self._told(task) as tell:
            return tell(await call(task))

    @contextmanager
    def _told(self, task: Task) -> Iterator[Callable[[T], T]]:
        around = task.parent
        if around is None or around.traced is None:
            manager = self.run.get_child(f"graph:step:{self.loop.step}")
        else:
            manager = around.traced.get_child("seq:step:1")
        manager.add_tags(task.node.tags)
        manager.add_metadata(task.metadata)
        task.traced = manager.on_chain_start(None, _inputs(task), name=task.name)
        task._config = None
        ambient = importlib.import_module("langchain_core.runnables.config")
        token = ambient.var_child_runnable_config.set(task.config)
        outputs: list[Any] = [None]

        def tell(value: T) -> T:
            outputs[0] = value
            for handler in task.traced.handlers:
                if hasattr(handler, "tap_output_iter") and not isinstance(handler, _Tokens):
                    deque(handler.tap_output_iter(task.traced.run_id, iter((value,))), maxlen=0)
            return value

        try:
            yield tell
        except BaseException as error:
            task.traced.on_chain_error(error)
            raise
        else:
            task.traced.on_chain_end(outputs[0])
        finally:
            ambient.var_child_runnable_config.reset(token)


def _runs_nothing(task: Task) -> bool:
    """Whether a task only passes its input on, as that of `START` does."""
    return task.node.func is None and task.node.afunc is None


def _inputs(task: Task) -> Any:
    """What a task was given, by name if it was called with arguments."""
    if task.parent is None:
        return task.input
    args, kwargs = task.input
    try:
        source: Any = task.node.callee.source if task.node.callee is not None else None
        return dict(inspect.signature(source).bind_partial(*args, **kwargs).arguments)
    except (TypeError, ValueError):
        return {"args": args, "kwargs": kwargs}


class _Tokens:
    """Shows what chat models say in a run's `messages` stream: pieces as they come, or it whole."""

    run_inline = True  # LangChain must call it where the model runs, so that nothing is overtaken

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self.loop = loop
        self.speaking: dict[Any, tuple[tuple[str, ...], dict[str, Any], Task | None]] = {}

    def on_chat_model_start(
        self,
        serialized: Any,
        messages: Any,
        *,
        run_id: Any,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """A model begins; find out for whom."""
        ns = shown_at(self.loop, metadata or {}, tags)
        if ns is None or metadata is None:
            return
        said_by_user = [tag for tag in tags or () if not tag.startswith(_INTERNAL_TAG)]
        shown = {**metadata, "tags": said_by_user} if said_by_user else metadata
        self.speaking[run_id] = (ns, shown, ambient_task())

    def on_llm_new_token(self, token: Any, *, run_id: Any, chunk: Any = None, **more: Any) -> None:
        """A piece of what a model says."""
        message = getattr(chunk, "message", None)
        if message is not None:
            self._show(run_id, message)

    def on_llm_end(self, response: Any, *, run_id: Any, **more: Any) -> None:
        """A model has said it all; show it if it did not come in pieces."""
        for message in _last_said(response):
            if message_id(message) not in self.loop.shown_messages:
                self._show(run_id, message)
        self.speaking.pop(run_id, None)

    def on_llm_error(self, error: BaseException, *, run_id: Any, **more: Any) -> None:
        """A model has failed."""
        self.speaking.pop(run_id, None)

    def _show(self, run_id: Any, message: Any) -> None:
        found = self.speaking.get(run_id)
        if found is None:
            return
        ns, metadata, task = found
        if message.id is None:
            message.id = f"run-{run_id}"
        self.loop.shown_messages.add(message.id)
        if task is not None and task.progress is not None:
            task.progress()
        if self.loop.stream is not None:
            self.loop.stream.put_own((ns, "messages", (message, metadata)))

    def tap_output_aiter(self, run_id: Any, output: T) -> T:
        """LangChain streams a model whose output a handler can tap; this one leaves it alone."""
        return output

    def tap_output_iter(self, run_id: Any, output: T) -> T:
        """As `tap_output_aiter`."""
        return output


def _last_said(response: Any) -> Iterator[Any]:
    for generations in response.generations[:1]:
        for generation in generations[:1]:
            message = getattr(generation, "message", None)
            if message is not None:
                yield message


@cache
def _handler_class() -> Any:
    base = importlib.import_module("langchain_core.callbacks").BaseCallbackHandler
    streaming = importlib.import_module("langchain_core.tracers._streaming")
    marker = streaming._StreamingCallbackHandler
    return types.new_class("Tokens", (_Tokens, base, marker))


def _put_off(self: Any, *event: Any, **more: Any) -> None:
    task = ambient_task()
    if task is not None and task.progress is not None:
        task.progress()


@cache
def _progress_class() -> Any:
    """The class of a handler to which all that happens within a node is progress."""
    base = importlib.import_module("langchain_core.callbacks").BaseCallbackHandler
    heard = {name: _put_off for name in dir(base) if name.startswith("on_")}
    return types.new_class("Progress", (base,), {}, lambda ns: ns.update(heard, run_inline=True))
