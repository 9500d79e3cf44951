"""Checkpoints whose values are encrypted before they reach a saver."""

from __future__ import annotations

import os
from typing import Any, Protocol, final, runtime_checkable

from taskloom.pregel.checkpoint.serde.base import SerializerProtocol
from taskloom.pregel.checkpoint.serde.jsonplus import JsonPlusSerializer

_NONCE = _TAG = 16  # bytes
_VARIABLE = "LANGGRAPH_AES_KEY"


@runtime_checkable
class CipherProtocol(Protocol):
    """Encrypts bytes and decrypts them again."""

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        """Return the cipher's name and the encrypted bytes."""
        ...

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        """Return the bytes that were encrypted by the cipher of this name."""
        ...


@final
class EncryptedSerializer:
    """Serializes by another serializer and encrypts what comes of it.

    Values that were stored in clear before can still be read.

    Args:
        cipher: encrypts and decrypts.
        serde: the serializer; that of checkpoints by default.

    Example:
        >>> from taskloom.pregel.checkpoint.serde.encrypted import EncryptedSerializer
        >>> class Swap:  # no cipher, but it shows the shape of one
        ...     def encrypt(self, plaintext):
        ...         return "swap", plaintext[::-1]
        ...     def decrypt(self, ciphername, ciphertext):
        ...         return ciphertext[::-1]
        >>> serde = EncryptedSerializer(Swap())
        >>> tag, data = serde.dumps_typed({"secret": 1})
        >>> tag, serde.loads_typed((tag, data))
        ('msgpack+swap', {'secret': 1})
    """

    def __init__(self, cipher: CipherProtocol, serde: SerializerProtocol | None = None) -> None:
        self.cipher = cipher
        self.serde: SerializerProtocol = JsonPlusSerializer() if serde is None else serde

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Return `(tag, bytes)` for a value; the tag names the cipher."""
        tag, raw = self.serde.dumps_typed(obj)
        name, encrypted = self.cipher.encrypt(raw)
        return f"{tag}+{name}", encrypted

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Return the value of a `(tag, bytes)` pair."""
        tag, cipher, name = data[0].partition("+")
        raw = self.cipher.decrypt(name, data[1]) if cipher else data[1]
        return self.serde.loads_typed((tag, raw))

    def with_msgpack_allowlist(self, extra_allowlist: Any) -> EncryptedSerializer:
        """Return a serializer whose inner one allows `extra_allowlist` too."""
        widen = getattr(self.serde, "with_msgpack_allowlist", None)
        return self if widen is None else EncryptedSerializer(self.cipher, widen(extra_allowlist))

    @classmethod
    def from_pycryptodome_aes(
        cls, serde: SerializerProtocol | None = None, *, key: bytes | None = None, **options: Any
    ) -> EncryptedSerializer:
        """A serializer that encrypts by AES, by means of the package pycryptodome.

        Args:
            serde: the serializer; that of checkpoints by default.
            key: 16, 24 or 32 bytes; from the environment variable LANGGRAPH_AES_KEY if None.
            options: for `AES.new`; its mode is EAX, which also notices changed bytes.

        Raises:
            ModuleNotFoundError: pycryptodome is not installed.
            ValueError: there is no key, or one of another length.
        """
        if key is None:
            text = os.environ.get(_VARIABLE)
            if text is None:
                raise ValueError(f"Give a `key`, or set the environment variable {_VARIABLE}.")
            key = text.encode()
        if len(key) not in (16, 24, 32):
            raise ValueError(f"An AES key has 16, 24 or 32 bytes, not {len(key)}.")
        return cls(_Aes(key, options), serde)


class _Aes:
    """AES of pycryptodome; what it makes is nonce, tag, encrypted bytes."""

    def __init__(self, key: bytes, options: dict[str, Any]) -> None:
        from Crypto.Cipher import AES  # type: ignore[import-not-found,unused-ignore]  # pyright: ignore

        self._new = AES.new
        self._key = key
        self._options = {"mode": AES.MODE_EAX, **options}

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        cipher = self._new(self._key, **self._options)
        encrypted, tag = cipher.encrypt_and_digest(plaintext)
        return "aes", cipher.nonce + tag + encrypted

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        if ciphername != "aes":
            raise ValueError(
                f"This was encrypted by {ciphername!r}, and the key here is for 'aes'."
            )
        nonce, rest = ciphertext[:_NONCE], ciphertext[_NONCE:]
        cipher = self._new(self._key, nonce=nonce, **self._options)
        plain: bytes = cipher.decrypt_and_verify(rest[_TAG:], rest[:_TAG])
        return plain
