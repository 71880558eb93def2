"""Imports that are optional to their users and cost seconds, left out while others are imported."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

# jsonschema compiles a grammar for IRIs (1.4 s of CPU), a format that no notebook's schema has.
_COSTLY = "rfc3987_syntax"


@contextmanager
def costly_imports() -> Iterator[None]:
    """Whatever is imported meanwhile (nbformat, and so papermill and nbconvert) finds no grammar of IRIs."""
    if _COSTLY in sys.modules:
        yield
        return
    sys.modules[_COSTLY] = None  # type: ignore[assignment]  # Python's own sign for "not to be imported"
    try:
        yield
    finally:
        del sys.modules[_COSTLY]
