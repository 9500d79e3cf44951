"""How chunks of a stream are handed to its reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from taskloom.pregel.constants import INTERRUPT, START

if TYPE_CHECKING:
    from taskloom.pregel.loop import Loop


class Shown:
    """What a stream's reader asked for.

    Args:
        modes: the modes to yield.
        printed: the modes to print.
        single: one mode was asked for, not a list of modes.
        subgraphs: chunks of subgraphs are yielded too, with their namespaces.
        version: "v1" or "v2".
        output_mapper: makes the output cells the output schema's class (v2).
        state_mapper: makes the state cells the state schema's class (v2).
    """

    __slots__ = (
        "modes",
        "output_mapper",
        "printed",
        "single",
        "state_mapper",
        "subgraphs",
        "version",
        "wanted",
    )

    def __init__(
        self,
        modes: tuple[str, ...],
        printed: tuple[str, ...],
        *,
        single: bool,
        subgraphs: bool,
        version: str,
        output_mapper: Callable[[Any], Any] | None,
        state_mapper: Callable[[Any], Any] | None,
    ) -> None:
        self.modes = modes
        self.printed = printed
        self.wanted = (*modes, *printed)
        self.single = single
        self.subgraphs = subgraphs
        self.version = version
        self.output_mapper = output_mapper
        self.state_mapper = state_mapper

    def shape(self, ns: tuple[str, ...], mode: str, payload: Any) -> Any:
        """One chunk as the reader gets it."""
        if self.version == "v2":
            return self._part(ns, mode, payload)
        if self.single:
            return (ns, payload) if self.subgraphs else payload
        return (ns, mode, payload) if self.subgraphs else (mode, payload)

    def _part(self, ns: tuple[str, ...], mode: str, payload: Any) -> dict[str, Any]:
        part: dict[str, Any] = {"type": mode, "ns": ns, "data": payload}
        if mode == "values":
            part["interrupts"] = ()
            if isinstance(payload, dict):
                payload = dict(payload)
                part["interrupts"] = payload.pop(INTERRUPT, ())
                mapper = None if ns else self.output_mapper
                part["data"] = payload if mapper is None else mapper(payload)
        elif mode in ("checkpoints", "debug") and self.state_mapper is not None and not ns:
            self._map_state(payload["payload"] if mode == "debug" else payload)
        return part

    def _map_state(self, checkpoint: Any) -> None:
        values = checkpoint.get("values")
        if isinstance(values, dict) and START not in checkpoint.get("next", ()):
            checkpoint["values"] = self.state_mapper(values) if self.state_mapper else values


def flush(loop: Loop, shown: Shown) -> Iterator[Any]:
    """The chunks that have come up since, printed where asked for."""
    stream = loop.stream
    if stream is None:
        return
    chunks = stream.chunks
    while chunks:
        ns, mode, payload = chunks.popleft()
        if mode in shown.printed:
            where = f" [graph={ns}]" if shown.subgraphs and ns else ""
            print(f"[{mode}]{where} {payload!r}")
        if mode in shown.modes:
            yield shown.shape(ns, mode, payload)
