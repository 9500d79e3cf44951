"""Chat messages as state: a list that is updated by id.

A message is a plain dict with "role" (or "type") and "content", or an object with an `id`
attribute, such as LangChain's. Pairs (role, content) and bare strings are made dicts. In a program
that has imported LangChain's messages, pairs, strings and dicts are made these instead, as
LangGraph does; `add_messages(format="dict")` keeps to dicts.
"""

from __future__ import annotations

import importlib
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, TypedDict, cast, final, overload

from taskloom.pregel.context import current_task

REMOVE_ALL_MESSAGES = "__remove_all__"
"""The id by which a `RemoveMessage` removes every message before it."""

Message = Any
Messages = list[Message] | Message


@final
@dataclass(slots=True)
class RemoveMessage:
    """Removes the message with this id.

    Example:
        >>> from taskloom.pregel import RemoveMessage, add_messages
        >>> old = [{"role": "user", "content": "hi", "id": "1"}]
        >>> add_messages(old, RemoveMessage("1"))
        []
    """

    id: str
    type: Literal["remove"] = "remove"


def _get(message: Message, key: str) -> Any:
    return message.get(key) if isinstance(message, dict) else getattr(message, key, None)


def _is_removal(message: Message) -> bool:
    return bool(_get(message, "type") == "remove" or _get(message, "role") == "remove")


def _spelled_out(message: Message) -> Message:
    if isinstance(message, str):
        message = {"role": "user", "content": message}
    elif isinstance(message, tuple) and len(message) == 2:
        message = {"role": message[0], "content": message[1]}
    if isinstance(message, dict) and "role" not in message and "type" not in message:
        raise ValueError(
            f"A message needs a 'role' (or 'type') and 'content', not {sorted(message)}"
        )
    return message


def _normal(message: Message) -> Message:
    message = _spelled_out(message)
    if isinstance(message, dict):
        return message if message.get("id") else {**message, "id": str(uuid.uuid4())}
    target: Any = message
    if not getattr(target, "id", None):
        try:
            target.id = str(uuid.uuid4())
        except AttributeError:
            raise ValueError(
                f"A message is a dict or an object with an id, not {message!r}"
            ) from None
    return message


def _as_list(messages: Messages) -> list[Message]:
    return messages if isinstance(messages, list) else [messages]


def _converted(langchain: Any, message: Message) -> Message:
    (made,) = langchain.convert_to_messages([message])
    return langchain.message_chunk_to_message(made)


def _typed(message: Message, form: str | None) -> Message:
    langchain: Any = None if form == "dict" else sys.modules.get("langchain_core.messages")
    if langchain is None or _is_removal(message):
        return _spelled_out(message)
    return _converted(langchain, message)


def _messages_of(messages: Messages, form: str | None) -> list[Message]:
    return [_normal(_typed(message, form)) for message in _as_list(messages)]


def _merge(left: Messages, right: Messages, form: str | None) -> list[Message]:
    merged = _messages_of(left, form)
    new = _messages_of(right, form)
    for index in range(len(new) - 1, -1, -1):
        if _is_removal(new[index]) and _get(new[index], "id") == REMOVE_ALL_MESSAGES:
            merged, new = [], new[index + 1 :]
            break
    places = {_get(message, "id"): index for index, message in enumerate(merged)}
    removed: set[Any] = set()
    for message in new:
        key = _get(message, "id")
        place = places.get(key)
        if _is_removal(message):
            if place is None:
                raise ValueError(
                    f"Attempting to delete a message with an ID that doesn't exist ('{key}')"
                )
            removed.add(key)
        elif place is None:
            places[key] = len(merged)
            merged.append(message)
        else:
            removed.discard(key)
            merged[place] = message
    if removed:
        merged = [m for m in merged if _get(m, "id") not in removed]
    if form == "langchain-openai":
        langchain: Any = importlib.import_module("langchain_core.messages")
        merged = langchain.convert_to_messages(langchain.convert_to_openai_messages(merged))
    return merged


@overload
def add_messages(
    left: None = None, right: None = None, **options: Any
) -> Callable[[Messages, Messages], list[Message]]: ...


@overload
def add_messages(left: Messages, right: Messages, **options: Any) -> list[Message]: ...


def add_messages(
    left: Messages | None = None, right: Messages | None = None, **options: Any
) -> Any:
    """Merge two lists of messages: a message with a known id replaces, others are appended.

    Messages without an id are given one. A `RemoveMessage` removes the message with its id.

    Args:
        left: the messages so far.
        right: the new ones, or one.
        options: `format`: "dict" to make dicts of pairs and strings whatever is imported,
            "langchain-openai" to make LangChain messages with content as OpenAI has it.

    Returns:
        The merged list; or, called with only options, a function that merges that way.

    Raises:
        ValueError: only one argument was given, a message is none, or one to remove is not there.
        TypeError: there is an unknown option.

    Example:
        >>> from taskloom.pregel import add_messages
        >>> old = [{"role": "user", "content": "hi", "id": "1"}]
        >>> new = {"role": "user", "content": "hello", "id": "1"}
        >>> assert add_messages(old, [new], format="dict") == [new]
    """
    form = options.pop("format", None)
    if options:
        raise TypeError(f"add_messages() has no option {next(iter(options))!r}")
    if form not in (None, "dict", "langchain-openai"):
        raise ValueError(
            f"Unrecognized format={form!r}. Expected one of 'langchain-openai', 'dict', None."
        )
    if left is None and right is None:
        return add_messages if form is None else partial(_merge, form=form)
    if left is None or right is None:
        given = "right" if left is None else "left"
        raise ValueError(
            "Must specify non-null arguments for both 'left' and 'right'. "
            f"Only received: '{given}'."
        )
    return _merge(left, right, form)


def messages_delta_reducer(state: list[Message], writes: list[Messages]) -> list[Message]:
    """Merge writes of messages as `DeltaChannel` hands them over: all of a superstep at once.

    A message with a known id replaces, a `RemoveMessage` removes if there is something to remove,
    others are appended and given an id. Merging in two steps comes to the same as in one.

    Args:
        state: the messages so far.
        writes: lists of messages, or single ones. Pairs and strings are made messages, as
            `add_messages` does.

    Returns:
        A new list.

    Example:
        >>> from typing import Annotated, TypedDict
        >>> from taskloom.pregel.channels import DeltaChannel
        >>> from taskloom.pregel.graph.message import messages_delta_reducer
        >>> class State(TypedDict):
        ...     messages: Annotated[list, DeltaChannel(messages_delta_reducer)]
    """
    merged: list[Message | None] = _messages_of(state, None)
    places = {_get(message, "id"): index for index, message in enumerate(merged)}
    for message in (each for write in writes for each in _messages_of(write, None)):
        key = _get(message, "id")
        place = places.get(key)
        if _is_removal(message):
            if place is not None:
                merged[place] = None
                del places[key]
        elif place is not None:
            merged[place] = message
        else:
            places[key] = len(merged)
            merged.append(message)
    return [message for message in merged if message is not None]


_messages_delta_reducer = messages_delta_reducer  # the name that LangGraph's programs import


class MessagesState(TypedDict):
    """A state with one key, `messages`, merged by `add_messages`.

    Example:
        >>> from taskloom.pregel import START, MessagesState, StateGraph
        >>> builder = StateGraph(MessagesState)
        >>> reply = {"role": "assistant", "content": "hello", "id": "2"}
        >>> _ = builder.add_node("reply", lambda state: {"messages": reply})
        >>> _ = builder.add_edge(START, "reply")
        >>> question = {"role": "user", "content": "hi", "id": "1"}
        >>> len(builder.compile().invoke({"messages": question})["messages"])
        2
    """

    messages: Annotated[list[Any], add_messages]


def push_message(message: Message, *, state_key: str | None = "messages") -> Message:
    """Emit a message in the `messages` stream mode at once, and write it to the state.

    Args:
        message: the message; it must have an id.
        state_key: the key to write it to, or None to only emit it.

    Returns:
        The message, normalised.

    Raises:
        ValueError: it has no id.
        RuntimeError: called outside of a node.

    Example:
        >>> from taskloom.pregel import push_message
        >>> def speak(state: dict) -> None:
        ...     push_message({"role": "assistant", "content": "One moment.", "id": "1"})
    """
    task = current_task("push_message()")
    if not isinstance(message, str | tuple) and _get(message, "id") is None:
        raise ValueError("Message ID is required")
    normal = _normal(message)
    stream = task.loop.stream
    if stream is not None:
        stream.message(task, normal)
    if state_key:
        task.writes.append((state_key, cast(Any, normal)))
    return normal
