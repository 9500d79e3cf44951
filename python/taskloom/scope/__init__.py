"""Structured concurrency: scopes, cancellation, and what works between coroutines and threads.

cancellation  cancel scopes, deadlines, shields, checkpoints
scope         Scope: nothing spawned in it outlives it
options       a scope seen through options
children      how a scope's children run, wherever it was entered
left          scopes that were entered by hand and left by nobody
frames        tracebacks that begin with the child
coroutines    run_coroutine, and the loop for one thread
combinators   gather, first_completed, as_completed, timeout
primitives    Event, Lock, Semaphore, Condition, CapacityLimiter
aio           asyncio code on a background loop
hosts         where foreign event loops wait
"""
