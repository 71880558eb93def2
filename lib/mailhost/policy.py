"""What counts as good enough for TLS: numbers with a date and a source, kept in parameters/tls_policy.yaml."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from mailhost.errors import SheetError


class Policy(BaseModel):
    """The policy; its defaults are those of the file that ships with the runbook.

    rsa_bits, ec_bits   the weakest keys that are accepted
    days_left           a certificate with fewer days is a finding
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    dated: str = "2026-11-01"
    rsa_bits: int = 2048
    ec_bits: int = 256
    days_left: int = 14


DEFAULT = Policy()


def load(path: Path) -> Policy:
    """Read a policy. Raises SheetError."""
    try:
        return Policy.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        raise SheetError(
            f"{path}: not a TLS policy: {error}",
            follows="nothing was connected to and nothing was changed.",
            remedy="take the file that ships with the runbook.",
        ) from None
