"""How values become bytes in a checkpoint: msgpack with an allow-list of types."""
