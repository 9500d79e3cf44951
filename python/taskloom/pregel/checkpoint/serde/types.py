"""The reserved names under which a task's special writes are stored.

They are LangGraph's own, because its savers treat writes under these names specially.
"""

ERROR = "__error__"
"""A task's failure, as text."""
SCHEDULED = "__scheduled__"
"""A task that has been scheduled and has written nothing yet."""
INTERRUPT = "__interrupt__"
"""What a task asks of the human in the loop."""
RESUME = "__resume__"
"""The answer to an interrupt."""
TASKS = "__pregel_tasks"
"""The cell that holds the `Send`s of a step."""
