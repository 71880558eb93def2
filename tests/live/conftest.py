"""The product from outside: the command as a process of its own, its records, and servers that it has configured."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runbook import lab

sys.path.append(str(Path(__file__).parent))  # for commands.py, theirs.py and mutations.py

from commands import Product, Within
from mutations import busy, patients  # noqa: F401  # a fixture

# Whatever a temporary account leaves in these is no change of the server.
_ACCOUNTS = "passwd shadow group gshadow subuid subgid"


@dataclass(frozen=True)
class Looks:
    """What a server is like, found out past SSH and past our own code."""

    server: lab.Server

    def say(self, script: str) -> str:
        ran = self.server.run(script)
        assert ran.rc == 0, ran
        return ran.out

    def packages(self) -> str:
        return self.say(
            "if command -v rpm >/dev/null && [ -e /etc/redhat-release ]; then rpm -qa | sort; else dpkg -l; fi"
        )

    def etc(self, *, folders: bool = True) -> str:
        """Every file under /etc with rights, owner, time and digest, a temporary account's traces aside.

        Without ``folders`` their times do not count: a file that came and went changes its folder's.
        """
        names = " ".join(f"! -path /etc/{name} ! -path /etc/{name}-" for name in _ACCOUNTS.split())
        names += " ! -path /etc/.pwd.lock ! -path /etc"
        return self.say(
            f"find /etc {names} {'' if folders else '! -type d'} -printf '%p %m %u:%g %T@ %l\\n' | sort; "
            f"find /etc -type f {names} -exec sha256sum {{}} + | sort -k 2"
        )

    def users(self) -> str:
        return self.say("for f in passwd shadow group gshadow; do sort /etc/$f; done; ls /home /var/mail")

    def firewall(self) -> str:
        return self.say("firewall-cmd --list-all; firewall-cmd --permanent --list-all")

    def unit(self) -> str:
        return self.say("systemctl show -p ActiveEnterTimestamp,MainPID,ActiveState,UnitFileState dovecot")

    def everything(self) -> dict[str, str]:
        names = ("packages", "etc", "users", "firewall", "unit")
        return {name: getattr(self, name)() for name in names}

    def no_leftovers(self) -> None:
        """No account of ours, no timer, no file of a change under way."""
        left = self.say(
            "{ getent passwd | grep ^rbk-; ls -d /home/rbk-* /var/mail/rbk-*; ls /run/systemd/system | grep rbk-; "
            "systemctl list-timers --all --no-legend | grep dovecot-runbook; ls -d /run/dovecot-runbook*; "
            "find /etc -name '*.rbk*' -o -name '.rbk*'; } 2>/dev/null || :"
        )
        assert left == ""


@pytest.fixture(scope="module")
def product(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Product:
    """A module that is about servers and not about the command says ``WITHIN = True``."""
    kind = Within if getattr(request.module, "WITHIN", False) else Product
    return kind(tmp_path_factory.mktemp("records"))


@pytest.fixture(scope="session")
def looks() -> Callable[[lab.Server], Looks]:
    return Looks


@pytest.fixture(scope="module")
def busy_up(lab_up: Callable[..., lab.Server]) -> Callable[..., lab.Server]:
    """Start a server whose owner keeps login processes, which spares half of what it costs to be tested."""

    def up(system: str = "debian12", **keywords: Any) -> lab.Server:
        server = lab_up(system, **keywords)
        ran = server.run(busy(system))
        assert ran.rc == 0, ran
        return server

    return up


@pytest.fixture(scope="module")
def configured(product: Product, busy_up: Callable[..., lab.Server]) -> Callable[..., lab.Server]:
    """Start a server that has Dovecot's packages already, and take it through the whole runbook."""

    def make(system: str = "debian12") -> lab.Server:
        server = busy_up(system, variant="stock")
        told = product.run(server.name, "--mode", "apply", "--json")
        assert told.rc == 0, told.text
        made = {section["name"]: section["changes"] for section in told.json["sections"]}
        assert made["02_install"] == (system == "el"), "nothing to install; only Debian's package enables the unit"
        return server

    return make


@pytest.fixture(scope="session")
def holds_no_secret() -> Callable[[Path, lab.Server], None]:
    """No file of a record holds the server's private keys, or a password of a temporary account."""

    def check(record: Path, server: lab.Server) -> None:
        keys = [(server.folder / "tls" / "key.pem").read_text(), server.key.read_text()]
        secrets = [line for key in keys for line in key.splitlines() if line and "-----" not in line]
        for file in record.rglob("*"):
            if not file.is_file():
                continue
            text = file.read_text(errors="replace")
            assert "PRIVATE KEY-----" not in text, file
            assert not [line for line in secrets if line in text], file

    return check
