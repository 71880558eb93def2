"""What counts as good enough for TLS: lines with a date and a source, kept in parameters/tls_policy.yaml."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mailhost.errors import SheetError

Level = Literal["good", "sufficient", "phase_out", "insufficient"]
LEVELS: tuple[Level, ...] = ("good", "sufficient", "phase_out", "insufficient")  # the best first
SHIPPED = Path(__file__).resolve().parents[2] / "parameters" / "tls_policy.yaml"


class Line(BaseModel):
    """How good some names are, and who says so; ``*`` in a name stands for anything."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    names: list[str] = Field(min_length=1)
    level: Level
    source: str = Field(min_length=1)


class Limit(BaseModel):
    """The least that is accepted, and who says so."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    least: int = Field(ge=0)
    source: str = Field(min_length=1)


class Bits(Limit):
    """The same for keys and groups of numbers, of which none has fewer for good."""

    least: int = Field(ge=1024)


class CurveBits(Limit):
    """The same for curves."""

    least: int = Field(ge=160)


class Limits(BaseModel):
    """What is told by a number.

    dh_bits             the smallest Diffie-Hellman group without a name that is accepted
    rsa_bits, ec_bits   the weakest keys that are accepted
    days_left           a certificate with fewer days is a finding
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    dh_bits: Bits
    rsa_bits: Bits
    ec_bits: CurveBits
    days_left: Limit


class Policy(BaseModel):
    """The policy.

    versions, suites, groups, signatures   the first line that fits a name decides; without one it is insufficient
    limits              each number has its own line
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    dated: str = Field(pattern=r"^\d{4}-\d\d-\d\d$")
    versions: list[Line] = Field(min_length=1)
    suites: list[Line] = Field(min_length=1)
    groups: list[Line] = Field(min_length=1)
    signatures: list[Line] = Field(min_length=1)
    limits: Limits

    @property
    def dh_bits(self) -> int:
        """The smallest Diffie-Hellman group without a name."""
        return self.limits.dh_bits.least

    @property
    def rsa_bits(self) -> int:
        """The weakest RSA key."""
        return self.limits.rsa_bits.least

    @property
    def ec_bits(self) -> int:
        """The smallest curve."""
        return self.limits.ec_bits.least

    @property
    def days_left(self) -> int:
        """The fewest days of validity."""
        return self.limits.days_left.least

    def version(self, name: str) -> Level:
        """How good a protocol version is."""
        return _level(self.versions, name)

    def suite(self, name: str) -> Level:
        """How good a cipher suite is, by IANA's name."""
        return _level(self.suites, name)

    def group(self, name: str) -> Level:
        """How good a key exchange group is, by IANA's name or as ``DH 2048 bits``."""
        words = name.split()
        if len(words) == 3 and words[0] == "DH":  # noqa: PLR2004 - the three words above
            return "sufficient" if int(words[1]) >= self.dh_bits else "insufficient"
        return _level(self.groups, name)

    def signature(self, name: str) -> Level:
        """How good the hash of a certificate's signature is; ``none`` for schemes that name no hash."""
        return _level(self.signatures, name)


def load(path: Path) -> Policy:
    """Read a policy. Raises SheetError."""
    try:
        return Policy.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        faults = [f"{'.'.join(str(part) for part in e['loc']) or 'the file'}: {e['msg']}" for e in error.errors()]
        why = "; ".join(faults)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        why = str(error)
    raise SheetError(
        f"{path}: not a TLS policy: {why}",
        follows="nothing was connected to and nothing was changed.",
        remedy="take the file that ships with the runbook.",
    )


@cache
def shipped() -> Policy:
    """The policy of this checkout, parameters/tls_policy.yaml. Raises SheetError."""
    return load(SHIPPED)


def _level(lines: list[Line], name: str) -> Level:
    return next((line.level for line in lines if any(fnmatchcase(name, n) for n in line.names)), "insufficient")
