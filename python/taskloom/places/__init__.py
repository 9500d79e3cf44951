"""Places other than the pool's own threads: where a task runs when `place=` says so.

    process     worker processes, one task at a time each
    child       one worker process as the parent sees it
    worker      what such a process runs
    _loop       asyncio loops: the caller's, or one in the background
    _coroutine  coroutines as tasks, with limits, retries and needs
    wire        how tasks, values and errors travel between the two

Nothing here is imported before a task first asks for its place.
"""
