"""What the Makefile calls: ``python -m runbook.lab build`` and ``python -m runbook.lab clean``."""

from __future__ import annotations

import sys

from runbook import lab
from runbook.lab import images


def main(arguments: list[str]) -> int:
    """Build every image that is missing, or remove this lab and all images."""
    try:
        match arguments:
            case ["build"]:
                for name in images.RECIPES:
                    images.ensure(name, lambda text: print(f"lab: {text}", flush=True))  # noqa: T201 - a command's output
            case ["clean"]:
                if not lab.available():
                    lab.down()
                    images.remove()
            case _:
                sys.stderr.write("usage: python -m runbook.lab build | clean\n")
                return 64
    except lab.LabError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
