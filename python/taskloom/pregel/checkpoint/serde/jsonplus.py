"""The serializer: msgpack by `ormsgpack`, an allow-list of types, pickle only if asked.

Plain values (None, bool, int, float, str, bytes, list, dict) are msgpack's own; standard-library
values have extension codes (`standard`); dataclasses, pydantic models, attrs classes, named
tuples, enums and numpy arrays are stored as their data and rebuilt without running their
constructors (`record`). What msgpack would bend silently (tuples into lists, integer keys into
text) is kept as it was; only a bytearray comes back as bytes, and an exception as its text.

A first attempt packs at C speed. Only if that fails does a second, slower walk in Python look at
every part: it converts what the first could not (keys that are no text, integers beyond 64 bits,
lone surrogates), or says exactly where the value is that cannot be stored.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from taskloom.pregel.checkpoint.serde import record
from taskloom.pregel.checkpoint.serde.allowlist import Allowed, AllowList, how_to_allow
from taskloom.pregel.checkpoint.serde.base import SerializationError
from taskloom.pregel.checkpoint.serde.standard import BY_CODE, STANDARD

if TYPE_CHECKING:
    import ormsgpack
else:
    try:
        import ormsgpack
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "checkpoints are stored as msgpack, which needs the package ormsgpack: "
            "pip install 'taskloom[pregel]'",
            name="ormsgpack",
        ) from error

_OPTIONS = (
    ormsgpack.OPT_PASSTHROUGH_BIG_INT
    | ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_ENUM
    | ormsgpack.OPT_PASSTHROUGH_SUBCLASS
    | ormsgpack.OPT_PASSTHROUGH_TUPLE
    | ormsgpack.OPT_PASSTHROUGH_UUID
)
_PAIRS = 100  # a dict whose keys are not all text: alternating keys and values
_SURROGATES = 101  # text with lone surrogates
_DEPTH = 200  # nesting beyond this is a cycle, or as good as one

_packb = ormsgpack.packb
_unpackb = ormsgpack.unpackb


class JsonPlusSerializer:
    """Stores values as msgpack; rebuilds only the classes it was told to trust.

    Args:
        pickle_fallback: pickle what msgpack cannot hold, and read pickles back. Whoever can write
            to the store can then run code in every program that reads it.
        allowed_msgpack_modules: classes, or `(module, qualified name)` pairs, that may be stored
            besides the standard library's values and this package's own; `True` for all.

    Raises:
        SerializationError: by the methods, for a value of a type that is not allowed.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Point:
        ...     x: int
        >>> serde = JsonPlusSerializer(allowed_msgpack_modules=[Point])
        >>> serde.loads_typed(serde.dumps_typed({"at": Point(1), "seen": {1, 2}}))
        {'at': Point(x=1), 'seen': {1, 2}}
    """

    def __init__(
        self, *, pickle_fallback: bool = False, allowed_msgpack_modules: Allowed = None
    ) -> None:
        self.pickle_fallback = pickle_fallback
        self._allowed = AllowList(allowed_msgpack_modules)

    @property
    def allows_everything(self) -> bool:
        """Whether every class that holds plain data may be stored."""
        return self._allowed.everything

    def with_msgpack_allowlist(
        self, extra_allowlist: Collection[tuple[str, ...] | type]
    ) -> JsonPlusSerializer:
        """Return a serializer that allows `extra_allowlist` too; this one stays as it is."""
        if self._allowed.everything:
            return self
        wider = JsonPlusSerializer(pickle_fallback=self.pickle_fallback)
        wider._allowed = self._allowed.extended(extra_allowlist)
        return wider

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Return the value as `(tag, bytes)`.

        Raises:
            SerializationError: the value, or something in it, is of a type that is not allowed or
                cannot be stored; the message says where.
        """
        if obj is None:
            return "null", b""
        if type(obj) is bytes:
            return "bytes", obj
        try:
            return "msgpack", _packb(obj, self._default, _OPTIONS)
        except TypeError:
            pass
        try:
            return "msgpack", _packb(self._plain(obj, "", 0), None, _OPTIONS)
        except SerializationError:
            if self.pickle_fallback:
                return "pickle", pickle.dumps(obj)
            raise

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Return the value of `(tag, bytes)`.

        Raises:
            SerializationError: the bytes name a class that is not allowed or no longer exists, or
                hold a pickle and `pickle_fallback` is off.
        """
        tag, raw = data
        if tag == "msgpack":
            try:
                return _unpackb(raw, ext_hook=self._extension)
            except ValueError:
                return self._explain(raw)
        if tag == "null":
            return None
        if tag == "bytes":
            return raw
        if tag == "pickle":
            if self.pickle_fallback:
                return pickle.loads(raw)
            raise SerializationError(
                "the checkpoint holds a pickle, and unpickling can run code; if you trust the "
                "store, give the saver serde=JsonPlusSerializer(pickle_fallback=True)"
            )
        raise SerializationError(f"the checkpoint holds bytes of an unknown kind {tag!r}")

    # -- writing ------------------------------------------------------------------------------

    def _default(self, obj: Any) -> Any:
        """Give the packer a form for what msgpack has none for; any error means: walk slowly."""
        kind = type(obj)
        standard = STANDARD.get(kind)
        if standard is not None:
            plain = standard.to_plain(obj)
            return ormsgpack.Ext(standard.code, _packb(plain, self._default, _OPTIONS))
        if isinstance(obj, BaseException):
            # An error is kept for people to read; rebuilding one could run anything.
            return repr(obj)
        code, plain = record.to_plain(obj, self._allowed)
        return ormsgpack.Ext(code, _packb(plain, self._default, _OPTIONS))

    def _plain(self, obj: Any, where: str, depth: int) -> Any:
        """Rebuild a value of parts that the packer takes as they are, or say what it cannot be."""
        kind = type(obj)
        if obj is None or kind in (bool, float, bytes):
            return obj
        if kind is int and -(2**63) <= obj < 2**64:
            return obj
        if depth > _DEPTH:
            raise SerializationError(
                f"the value{_at(where)} is nested more than {_DEPTH} deep, or contains itself"
            )
        depth += 1
        if kind is str:
            try:
                obj.encode()
            except UnicodeEncodeError:
                return ormsgpack.Ext(_SURROGATES, obj.encode(errors="surrogatepass"))
            return obj
        if kind is list:
            return [self._plain(part, f"{where}[{i}]", depth) for i, part in enumerate(obj)]
        if kind is dict:
            if all(type(key) is str for key in obj):
                try:
                    "".join(obj).encode()
                except UnicodeEncodeError:
                    pass
                else:
                    return {k: self._plain(v, f"{where}[{k!r}]", depth) for k, v in obj.items()}
            flat: list[Any] = []
            for key, value in obj.items():
                flat.append(self._plain(key, f"{where}'s key {key!r}", depth))
                flat.append(self._plain(value, f"{where}[{key!r}]", depth))
            return ormsgpack.Ext(_PAIRS, _packb(flat, None, _OPTIONS))
        if isinstance(obj, BaseException):
            return self._plain(repr(obj), where, depth)
        standard = STANDARD.get(kind)
        try:
            if standard is not None:
                code, parts = standard.code, standard.to_plain(obj)
            else:
                code, parts = record.to_plain(obj, self._allowed)
        except record.NotAllowedError as error:
            module, name = error.args
            raise SerializationError(
                f"cannot checkpoint the value{_at(where)}: its type {module}.{name} is not on "
                f"the allow-list; {how_to_allow(module, name)}"
            ) from None
        except (TypeError, ValueError) as error:
            raise SerializationError(
                f"cannot checkpoint the value{_at(where)} of type {kind.__module__}."
                f"{kind.__qualname__}: {error}"
            ) from error
        inside = where if standard is not None else f"{where}<{kind.__qualname__}>"
        return ormsgpack.Ext(code, _packb(self._plain(parts, inside, depth), None, _OPTIONS))

    # -- reading ------------------------------------------------------------------------------

    def _extension(self, code: int, raw: bytes) -> Any:
        """Rebuild a value from its code and bytes."""
        return self._rebuild(code, raw, self._extension)

    def _rebuild(self, code: int, raw: bytes, extension: Callable[[int, bytes], Any]) -> Any:
        if code == _SURROGATES:
            return raw.decode(errors="surrogatepass")
        plain = _unpackb(raw, ext_hook=extension)
        if code == _PAIRS:
            return dict(zip(plain[::2], plain[1::2], strict=True))
        make = BY_CODE.get(code)
        if make is not None:
            return make(plain)
        return record.from_plain(code, plain, self._allowed)

    def _explain(self, raw: bytes) -> Any:
        """Unpack again to find out why it failed: the unpacker hides what its hook raised."""
        failures: list[Exception] = []

        def extension(code: int, inner: bytes) -> Any:
            try:
                return self._rebuild(code, inner, extension)
            except Exception as error:
                failures.append(error)
                raise

        try:
            return _unpackb(raw, ext_hook=extension)
        except ValueError as error:
            cause = failures[0] if failures else error
            if isinstance(cause, SerializationError):
                raise cause from None
            raise SerializationError(f"a stored value cannot be rebuilt: {cause}") from cause


def _at(where: str) -> str:
    return f" at {where}" if where else ""
