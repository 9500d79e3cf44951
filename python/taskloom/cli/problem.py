"""What a subcommand raises when it was asked wrongly."""

from __future__ import annotations


class UsageProblem(Exception):
    """What was asked for cannot be done as it was asked; the message says what would be right."""
