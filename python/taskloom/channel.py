"""Channels: bounded streams from many senders to many receivers, between coroutines and threads.

The ends are native. `send` and `receive` are awaited, in a coroutine of taskloom's as on an asyncio
or trio loop; their `_blocking` twins are for threads. Names are anyio's where it has the same.
"""

from taskloom._taskloom import Channel, ChannelStats, Receiver, Selected, Sender, select

__all__ = ["Channel", "ChannelStats", "Receiver", "Selected", "Sender", "select"]
