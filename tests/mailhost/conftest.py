"""Test modules of several folders share `canned` and `scripted`, which lie beside this file."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # --import-mode=importlib puts no folder of tests on the path
