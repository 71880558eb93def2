"""Deploy hooks: what has Dovecot read its certificate anew after an ACME client on the server has renewed it.

certbot runs every program in the folder ``renewal-hooks/deploy`` beside its ``live``. lego takes its hook from the
command line of whoever calls it, acme.sh from a file of state of its own; neither is ours to edit, so systemd watches
the certificate for them and runs the same program.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from mailhost.sheet import Tls

WATCH = "dovecot-certificate.path"
_WATCHED = "dovecot-certificate.service"
_UNITS = "/etc/systemd/system"
_PROGRAM = "/usr/local/sbin/dovecot-certificate-renewed"

# Clients write certificate and key one after the other: both must fit together and have come to rest.
_RENEWED = """\
#!/bin/sh
# Installed by dovecot-runbook: Dovecot reads its certificate anew after {client} has renewed it; sessions stay open.
certificate={certificate}
key={key}
# certbot says which of its certificates was renewed
[ "${{RENEWED_LINEAGE:-${{certificate%/*}}}}" = "${{certificate%/*}}" ] || exit 0
state() {{ cat "$certificate" "$key" | sha256sum; }}
fit() {{
    public=$(openssl x509 -noout -pubkey -in "$certificate") && [ "$public" = "$(openssl pkey -pubout -in "$key")" ]
}}
tries=0
until before=$(state) && sleep 1 && [ "$(state)" = "$before" ] && fit; do
    tries=$((tries + 1))
    if [ "$tries" -ge 30 ]; then
        echo "$key does not belong to $certificate: Dovecot was not reloaded" >&2
        exit 1
    fi
done
systemctl is-active -q {unit} || exit 0
# the unit of Dovecot 2.2.10 does not say how it is reloaded
[ "$(systemctl show -p CanReload {unit})" != CanReload=no ] || exec doveadm reload
exec systemctl reload {unit}
"""

_PATH_UNIT = """\
# Installed by dovecot-runbook
[Unit]
Description=Dovecot's certificate, as {client} renews it

[Path]
PathChanged={certificate}
Unit={service}

[Install]
WantedBy=multi-user.target
"""

_SERVICE_UNIT = """\
# Installed by dovecot-runbook
[Unit]
Description=Have Dovecot read its renewed certificate

[Service]
Type=oneshot
ExecStart={program}
"""


@dataclass(frozen=True)
class Part:
    """One file of a hook: its path on the server, its text, its mode."""

    path: str
    text: str
    mode: str


@dataclass(frozen=True)
class Hook:
    """What a deploy hook is made of.

    watch  the unit of systemd that must be enabled and active; empty where the client runs the program itself
    """

    parts: tuple[Part, ...]
    watch: str = ""


def hook(tls: Tls | None, unit: str) -> Hook | None:
    """The deploy hook that the sheet's ACME client needs to have ``unit`` reloaded; None without such a client."""
    if tls is None or tls.renewed_by is None:
        return None
    certificate = str(tls.certificate_path)
    program = _RENEWED.format(client=tls.renewed_by, certificate=certificate, key=tls.key_path, unit=unit)
    if tls.renewed_by == "certbot":
        folder = PurePosixPath(certificate).parents[2] / "renewal-hooks/deploy"
        return Hook((Part(str(folder / "dovecot-runbook"), program, "0755"),))
    path = _PATH_UNIT.format(client=tls.renewed_by, certificate=certificate, service=_WATCHED)
    parts = (
        Part(_PROGRAM, program, "0755"),
        Part(f"{_UNITS}/{_WATCHED}", _SERVICE_UNIT.format(program=_PROGRAM), "0644"),
        Part(f"{_UNITS}/{WATCH}", path, "0644"),
    )
    return Hook(parts, WATCH)
