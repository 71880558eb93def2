"""What can go wrong with the lab: one error, whose text says what is wrong, what follows and what to do."""

from __future__ import annotations


class LabError(Exception):
    """The lab cannot do what was asked."""
