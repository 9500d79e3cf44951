"""Running a compiled graph: invoke, stream, batch, and their async forms."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

from taskloom.pregel.config import merge_configs
from taskloom.pregel.constants import (
    CHECKPOINT_ID,
    CHECKPOINT_NS,
    CHECKPOINTER_KEY,
    CONF,
    COORDINATES,
    DURABILITY_KEY,
    INTERRUPT,
    PARENT_KEY,
    RUNTIME_KEY,
    THREAD_ID,
)
from taskloom.pregel.context import ambient_task
from taskloom.pregel.drive_async import adrive
from taskloom.pregel.drive_sync import drive
from taskloom.pregel.langchain import listeners_of, tracing_for
from taskloom.pregel.loop import Loop
from taskloom.pregel.runtime import RunControl, as_context
from taskloom.pregel.show import Shown, flush
from taskloom.pregel.stateful import Stateful
from taskloom.pregel.stream import Stream
from taskloom.pregel.types import (
    All,
    Checkpointer,
    Durability,
    GraphOutput,
    RunnableConfig,
    StreamMode,
)
from taskloom.pregel.validate import (
    validate_durability,
    validate_keys,
    validate_limits,
    validate_stops,
    validate_version,
)

Modes = StreamMode | Sequence[StreamMode]
Version = Literal["v1", "v2"]
_MODES = frozenset(get_args(StreamMode))


class Runs(Stateful):
    """The part of `Pregel` that runs it."""

    channels: dict[str, Any]
    checkpointer: Checkpointer
    context_schema: type | None
    debug: bool
    interrupt_after_nodes: All | Sequence[str]
    interrupt_before_nodes: All | Sequence[str]
    output_channels: str | Sequence[str]
    output_mapper: Callable[[Any], Any] | None
    state_mapper: Callable[[Any], Any] | None
    stream_keys: str | Sequence[str]
    stream_mode: StreamMode

    # Running

    def _loop(
        self,
        input: Any,
        config: RunnableConfig | None,
        *,
        stream_modes: Sequence[str] | None,
        subgraphs: bool = False,
        output_keys: str | Sequence[str] | None = None,
        interrupt_before: All | Sequence[str] | None = None,
        interrupt_after: All | Sequence[str] | None = None,
        durability: Durability | None = None,
        context: Any = None,
        control: RunControl | None = None,
    ) -> Loop:
        own: RunnableConfig = {}
        if config is not None or self.config is not None:
            own = merge_configs(self.config, config)
            validate_limits(own)
        configurable = own.get("configurable") or {}
        parent = configurable.get(PARENT_KEY)
        if parent is None:
            ambient = ambient_task()
            if ambient is not None and not any(configurable.get(key) for key in COORDINATES):
                parent = ambient
        if interrupt_before or interrupt_after:
            validate_stops(interrupt_before or (), self._graph.nodes)
            validate_stops(interrupt_after or (), self._graph.nodes)
        if output_keys is not None:
            validate_keys(output_keys, self.channels)
        saver = self._saver_for(configurable, parent)
        if durability is not None:
            validate_durability(durability)
            if saver is None:
                warnings.warn(
                    "`durability` has no effect when no checkpointer is present.", stacklevel=4
                )
        stored: str = durability or configurable.get(DURABILITY_KEY) or ""
        if not stored:
            stored = "async" if parent is None else parent.loop.durability
        given = configurable.get(RUNTIME_KEY) if parent is None else None
        if context is None and given is not None:
            context = getattr(given, "context", None)
        outer: Stream | None = None
        if parent is not None:
            around = parent.loop.stream
            if around is not None:
                outer = around if around.subgraphs else around.outer
            if context is None:
                context = parent.loop.context
        stream: Stream | None = None
        if stream_modes is not None or outer is not None:
            stream = Stream(stream_modes or (), outer, subgraphs=subgraphs)
        loop = Loop(
            self._graph,
            input,
            own,
            parent=parent,
            saver=saver,
            stream=stream,
            output_keys=output_keys,
            interrupt_before=interrupt_before or self.interrupt_before_nodes,
            interrupt_after=interrupt_after or self.interrupt_after_nodes,
            durability=stored,
            context=as_context(self.context_schema, context),
            control=control,
            store=getattr(given, "store", None),
        )
        if self.checkpointer is True and parent is not None:
            loop.keep_own_thread()
        if saver is not None and loop.thread_id is None and not configurable.get(CHECKPOINT_ID):
            raise ValueError(
                "Checkpointer requires one or more of the following 'configurable' keys: "
                f"{THREAD_ID}, {CHECKPOINT_NS}, {CHECKPOINT_ID}"
            )
        heard = parent is not None and (parent.traced or parent.loop.listeners)
        if heard or stream_modes or own.get("callbacks") or loop.program.has_timeouts:
            loop.tracing, loop.listeners = tracing_for(loop), listeners_of(loop)
        return loop

    def _saver_for(self, configurable: Mapping[str, Any], parent: Any) -> Any:
        if self.checkpointer is False:
            return None
        if parent is not None:
            return parent.loop.saver
        if CHECKPOINTER_KEY in configurable:
            return configurable[CHECKPOINTER_KEY]
        if self.checkpointer is True:
            raise RuntimeError("checkpointer=True cannot be used for root graphs.")
        return self.checkpointer

    def invoke(
        self,
        input: Any,
        config: RunnableConfig | None = None,
        *,
        context: Any = None,
        stream_mode: StreamMode = "values",
        print_mode: Modes = (),
        output_keys: str | Sequence[str] | None = None,
        interrupt_before: All | Sequence[str] | None = None,
        interrupt_after: All | Sequence[str] | None = None,
        durability: Durability | None = None,
        control: RunControl | None = None,
        subgraphs: bool = False,
        debug: bool | None = None,
        version: Version = "v1",
    ) -> Any:
        """Run the graph and return its output.

        Args:
            input: the input; a `Command` to resume or redirect; None to go on.
            config: `{"configurable": {"thread_id": ...}, "recursion_limit": ...}` and the like.
            context: what nodes see as `runtime.context`.
            stream_mode: "values" for the output; otherwise a list of what `stream` would show.
            print_mode: what to print on the way.
            output_keys: the cells to return instead of the graph's output.
            interrupt_before: nodes to stop before.
            interrupt_after: nodes to stop after.
            durability: when checkpoints are stored.
            control: asks the run to stop.
            subgraphs: with another `stream_mode`, show what subgraphs do too.
            debug: print updates and values on the way.
            version: "v2" returns a `GraphOutput`.

        Returns:
            The output; with `"__interrupt__"` in it if nodes wait for an answer.

        Raises:
            GraphRecursionError: the recursion limit was reached.
            EmptyInputError: there is no input and nothing to go on with.
            GraphDrained: the run was asked to stop.
        """
        if version != "v1":
            validate_version(version)
        options: dict[str, Any] = {
            "interrupt_before": interrupt_before,
            "interrupt_after": interrupt_after,
            "durability": durability,
            "context": context,
            "control": control,
        }
        if stream_mode != "values" or print_mode or debug or (debug is None and self.debug):
            watched = self._watched(stream_mode, print_mode, debug, output_keys, subgraphs, version)
            chunks = list(self.stream(input, config, **watched, **options))
            return self._collect(chunks, stream_mode, version)
        loop = self._loop(input, config, stream_modes=None, output_keys=output_keys, **options)
        for _ in drive(loop):
            pass
        return self._result(loop, version)

    def _watched(  # noqa: PLR0917 (as given to `invoke`)
        self,
        stream_mode: StreamMode,
        print_mode: Modes,
        debug: bool | None,
        output_keys: str | Sequence[str] | None,
        subgraphs: bool,
        version: Version,
    ) -> dict[str, Any]:
        """How `invoke` asks `stream` for what it is to print or return."""
        values = stream_mode == "values"
        return {
            "stream_mode": [stream_mode] if values else stream_mode,
            "print_mode": print_mode,
            "output_keys": self.output_channels if output_keys is None else output_keys,
            "subgraphs": subgraphs,
            "debug": debug,
            "version": "v2" if values else version,
        }

    def _result(self, loop: Loop, version: Version) -> Any:
        output = loop.output
        if version == "v2":
            if self.output_mapper is not None and isinstance(output, dict):
                output = self.output_mapper(output)
            return GraphOutput(output, tuple(loop.interrupts))
        if loop.interrupts:
            known = output if isinstance(output, dict) else {}
            return {**known, INTERRUPT: list(loop.interrupts)}
        return output

    def _collect(self, chunks: list[Any], stream_mode: StreamMode, version: Version) -> Any:
        if stream_mode != "values":
            return chunks
        output: Any = None
        interrupts: list[Any] = []
        for chunk in chunks:
            output = chunk["data"]
            interrupts += chunk.get("interrupts", ())
        if version == "v2":
            return GraphOutput(output, tuple(interrupts))
        if interrupts:
            return {**(output if isinstance(output, dict) else {}), INTERRUPT: interrupts}
        return output

    async def ainvoke(
        self,
        input: Any,
        config: RunnableConfig | None = None,
        *,
        context: Any = None,
        stream_mode: StreamMode = "values",
        print_mode: Modes = (),
        output_keys: str | Sequence[str] | None = None,
        interrupt_before: All | Sequence[str] | None = None,
        interrupt_after: All | Sequence[str] | None = None,
        durability: Durability | None = None,
        control: RunControl | None = None,
        subgraphs: bool = False,
        debug: bool | None = None,
        version: Version = "v1",
    ) -> Any:
        """As `invoke`, on the running event loop; sync nodes run in threads."""
        if version != "v1":
            validate_version(version)
        options: dict[str, Any] = {
            "interrupt_before": interrupt_before,
            "interrupt_after": interrupt_after,
            "durability": durability,
            "context": context,
            "control": control,
        }
        if stream_mode != "values" or print_mode or debug or (debug is None and self.debug):
            watched = self._watched(stream_mode, print_mode, debug, output_keys, subgraphs, version)
            chunks = [chunk async for chunk in self.astream(input, config, **watched, **options)]
            return self._collect(chunks, stream_mode, version)
        loop = self._loop(input, config, stream_modes=None, output_keys=output_keys, **options)
        loop.enter_async()
        async for _ in adrive(loop):
            pass
        return self._result(loop, version)

    def _streamed(
        self,
        input: Any,
        config: RunnableConfig | None,
        *,
        stream_mode: Modes | None,
        print_mode: Modes,
        output_keys: str | Sequence[str] | None,
        debug: bool | None,
        subgraphs: bool,
        version: Version,
        **options: Any,
    ) -> tuple[Loop, Shown]:
        """A run, and what is to be shown of it."""
        if stream_mode is None:
            nested = config is not None and PARENT_KEY in (config.get(CONF) or {})
            stream_mode = "values" if nested else self.stream_mode
        if version != "v1":
            validate_version(version)
        if debug or (debug is None and self.debug):
            print_mode = ("updates", "values")
        printed = (print_mode,) if isinstance(print_mode, str) else tuple(print_mode)
        single = isinstance(stream_mode, str)
        modes = (stream_mode,) if isinstance(stream_mode, str) else tuple(stream_mode)
        for mode in (*modes, *printed):
            if mode not in _MODES:
                raise ValueError(
                    f"Unknown stream mode {mode!r}; the modes are {', '.join(sorted(_MODES))}"
                )
        shown = Shown(
            modes,
            printed,
            single=single,
            subgraphs=subgraphs,
            version=version,
            output_mapper=self.output_mapper,
            state_mapper=self.state_mapper,
        )
        loop = self._loop(
            input,
            config,
            stream_modes=shown.wanted,
            subgraphs=subgraphs,
            output_keys=self.stream_keys if output_keys is None else output_keys,
            **options,
        )
        return loop, shown

    def stream(
        self,
        input: Any,
        config: RunnableConfig | None = None,
        *,
        context: Any = None,
        stream_mode: Modes | None = None,
        print_mode: Modes = (),
        output_keys: str | Sequence[str] | None = None,
        interrupt_before: All | Sequence[str] | None = None,
        interrupt_after: All | Sequence[str] | None = None,
        durability: Durability | None = None,
        control: RunControl | None = None,
        subgraphs: bool = False,
        debug: bool | None = None,
        version: Version = "v1",
    ) -> Iterator[Any]:
        """Run the graph and show what happens as it happens.

        Args:
            input: as for `invoke`, and so on.
            stream_mode: one mode, for its chunks as they are, or several, for pairs of mode and
                chunk: "values" (the output cells after each superstep), "updates" (what each node
                wrote), "custom" (what nodes emit), "messages" (chat messages as they are
                written), "tasks", "checkpoints", "debug" (both of these), "tools" (what
                LangChain's tools do).
            subgraphs: show what subgraphs do too; chunks then begin with a namespace.
            version: "v2" makes every chunk a dict with type, ns and data.

        Yields:
            The chunks.
        """
        loop, shown = self._streamed(
            input,
            config,
            stream_mode=stream_mode,
            print_mode=print_mode,
            output_keys=output_keys,
            debug=debug,
            subgraphs=subgraphs,
            version=version,
            interrupt_before=interrupt_before,
            interrupt_after=interrupt_after,
            durability=durability,
            context=context,
            control=control,
        )
        running = drive(loop)
        try:
            for _ in running:
                yield from flush(loop, shown)
        except GeneratorExit:
            raise
        except BaseException:
            yield from flush(loop, shown)
            raise
        finally:
            running.close()  # type: ignore[attr-defined]
        yield from flush(loop, shown)

    async def astream(
        self,
        input: Any,
        config: RunnableConfig | None = None,
        *,
        context: Any = None,
        stream_mode: Modes | None = None,
        print_mode: Modes = (),
        output_keys: str | Sequence[str] | None = None,
        interrupt_before: All | Sequence[str] | None = None,
        interrupt_after: All | Sequence[str] | None = None,
        durability: Durability | None = None,
        control: RunControl | None = None,
        subgraphs: bool = False,
        debug: bool | None = None,
        version: Version = "v1",
    ) -> AsyncIterator[Any]:
        """As `stream`, on the running event loop; sync nodes run in threads."""
        loop, shown = self._streamed(
            input,
            config,
            stream_mode=stream_mode,
            print_mode=print_mode,
            output_keys=output_keys,
            debug=debug,
            subgraphs=subgraphs,
            version=version,
            interrupt_before=interrupt_before,
            interrupt_after=interrupt_after,
            durability=durability,
            context=context,
            control=control,
        )
        loop.enter_async()
        running = adrive(loop)
        try:
            async for _ in running:
                for chunk in flush(loop, shown):
                    yield chunk
        except GeneratorExit:
            raise
        except BaseException:
            for chunk in flush(loop, shown):
                yield chunk
            raise
        finally:
            await running.aclose()  # type: ignore[attr-defined]
        for chunk in flush(loop, shown):
            yield chunk

    def batch(
        self,
        inputs: Sequence[Any],
        config: RunnableConfig | Sequence[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **options: Any,
    ) -> list[Any]:
        """Run the graph on several inputs, side by side.

        Args:
            inputs: the inputs.
            config: one for all, or one for each; `max_concurrency` bounds how many run at a time.
            return_exceptions: return what a run raised instead of raising it.
            options: as for `invoke`.

        Returns:
            The outputs, in the order of the inputs.
        """
        from taskloom.pregel.batch import batch

        return batch(self._graph, inputs, config, return_exceptions, options)

    async def abatch(
        self,
        inputs: Sequence[Any],
        config: RunnableConfig | Sequence[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **options: Any,
    ) -> list[Any]:
        """As `batch`, on the running event loop."""
        from taskloom.pregel.batch import abatch

        return await abatch(self._graph, inputs, config, return_exceptions, options)
