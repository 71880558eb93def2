"""Which mail server delivers here, and whether it delivers to Maildirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mailhost.families import Family
from mailhost.host import Command, Result, sh
from mailhost.parse import pairs
from mailhost.query import Fact, Query
from mailhost.sheet import Sheet

_MTA = """\
if command -v postconf >/dev/null 2>&1; then
  echo "mta=postfix"; unit=postfix
  postconf home_mailbox mailbox_command mailbox_transport
elif command -v exim4 >/dev/null 2>&1 || command -v exim >/dev/null 2>&1; then
  echo "mta=exim"; unit=exim4
  sed -n 's/^dc_localdelivery=/localdelivery=/p' /etc/exim4/update-exim4.conf.conf 2>/dev/null
elif command -v sendmail >/dev/null 2>&1; then echo "mta=sendmail"; unit=sendmail
else echo "mta=none"; exit 0; fi
for name in "$unit" exim; do systemctl -q is-active "$name" && echo "active=yes" && break; done
exit 0
"""


@dataclass(frozen=True)
class Mta(Fact):
    """The mail server that delivers here.

    name      ``postfix``, ``exim``, ``sendmail`` or ``none``
    problem   what it said when it could not tell its settings
    """

    name: str = "none"
    active: bool = False
    home_mailbox: str = ""
    mailbox_command: str = ""
    mailbox_transport: str = ""
    localdelivery: str = ""
    problem: str = ""


def _commands(_sheet: Sheet, _family: Family | None) -> dict[str, Command]:
    return {"mta": sh(_MTA)}


def read(results: Mapping[str, Result]) -> Mta:
    """The mail server and where it delivers."""
    result = results["mta"]
    rows = pairs.pairs(result.stdout)
    told = rows.get("mta", "none") != "postfix" or "home_mailbox" in rows
    return Mta(
        name=rows.get("mta", "none"),
        active=rows.get("active") == "yes",
        home_mailbox=rows.get("home_mailbox", ""),
        mailbox_command=rows.get("mailbox_command", ""),
        mailbox_transport=rows.get("mailbox_transport", ""),
        localdelivery=rows.get("localdelivery", "").strip("'\""),
        problem="" if told and result.ok else result.stderr.strip()[-300:] or "it did not tell its settings",
    )


query: Query[Mta] = Query("mta", "Where mail is delivered", _commands, read)
