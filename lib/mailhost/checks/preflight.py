"""Go or no go: what must hold on a server before anything is changed on it."""

from __future__ import annotations

from mailhost.checks.outcome import judged, skipped, some
from mailhost.checks.surroundings import bans, firewall, mta, names, ports
from mailhost.checks.users import users
from mailhost.errors import UnsupportedError
from mailhost.facts.clock import Clock
from mailhost.facts.disk import Disk, Space
from mailhost.facts.packages import Packages
from mailhost.facts.system import System
from mailhost.families import family_of
from mailhost.finding import Finding
from mailhost.sheet import Sheet

# All of preflight by one name; what stands around Dovecot, and the users, have modules of their own.
__all__ = ["bans", "clock", "disk", "firewall", "mta", "names", "packages", "ports", "system", "users"]

LEAST_SYSTEMD = 208  # CentOS 7.1
MOST_OFFSET = 60  # seconds; certificates and logs are judged by the server's clock
LEAST_BYTES = 200_000_000
LEAST_BYTES_RUN = 8_000_000  # /run is memory: a tenth of a small server's
LEAST_MEMORY_KB = 128 * 1024
KNOWN_DOVECOT = ("2.2", "2.3", "2.4")


def system(system: System, sheet: Sheet) -> list[Finding]:
    """The server can be managed: distribution, memory, SELinux's tools, IPv6."""
    return [_os_supported(system), _memory_available(system), _selinux_tools(system), _ipv6_usable(system, sheet)]


def clock(clock: Clock, sheet: Sheet) -> list[Finding]:
    """The server's clock is right, and kept right."""
    return [_clock_synchronised(clock, sheet), _clock_offset(clock)]


def packages(packages: Packages, system: System) -> list[Finding]:
    """Dovecot's packages can be had, in a version that the runbook knows."""
    return [_package_candidate(packages), _dovecot_version_known(packages, system)]


def _os_supported(system: System) -> Finding:
    """The distribution is one that the runbook knows, with a systemd that is new enough."""
    title = "distribution and systemd are known"
    try:
        family = family_of(system.os_release).name
        why = f"systemd {system.systemd or 'is missing'}, at least {LEAST_SYSTEMD} is needed: units cannot be managed"
    except UnsupportedError as error:
        family, why = "", f"{error.what}: {error.follows}"
    return judged(
        bool(family) and (system.systemd or 0) >= LEAST_SYSTEMD,
        "os-supported",
        title,
        system,
        expected=f"the Debian or Red Hat family, systemd {LEAST_SYSTEMD} or later",
        actual=f"{system.pretty_name}, systemd {system.systemd or 'missing'}",
        message=f"{why}.",
        remedy="use a Debian, Ubuntu, Red Hat, CentOS, Alma, Rocky or Fedora server with systemd.",
        severity="critical",
        blocking=True,
    )


def _clock_synchronised(clock: Clock, sheet: Sheet) -> Finding:
    """Something keeps the server's clock right."""
    finding = ("clock-synchronised", "the clock is kept right by a time service")
    if sheet.time_sync == "ignore":
        return skipped(*finding, "the sheet says time_sync: ignore", fact=clock)
    told = {True: "yes", False: "no", None: "not told"}[clock.synchronised]
    return judged(
        clock.synchronised,
        *finding,
        clock,
        expected="synchronised",
        actual=f"{told}, by {clock.source or 'no tool'}; active service: {clock.service or 'none'}",
        message="the server's clock is not known to be synchronised: it will drift, certificates are then refused "
        "as expired or not yet valid, and the times in mails and logs are wrong.",
        remedy="install and start chrony (or systemd-timesyncd), wait a minute, look at `timedatectl`; where the "
        "host of a virtual server keeps the time, say time_sync: ignore in the sheet.",
    )


def _clock_offset(clock: Clock) -> Finding:
    """The server's clock agrees with the one of the machine that runs the runbook."""
    way = "ahead" if clock.offset > 0 else "behind"
    return judged(
        abs(clock.offset) <= MOST_OFFSET,
        "clock-offset",
        "the clock agrees with this machine's",
        clock,
        expected=f"within {MOST_OFFSET} s",
        actual=f"{clock.offset:+.0f} s",
        message=f"the server's clock is {abs(clock.offset):.0f} s {way} of this machine's: one of the two is "
        "wrong, and certificates and logs are judged by wrong times.",
        remedy="compare both with a third clock (`date -u`), and set the wrong one by a time service.",
        severity="high",
    )


def disk(disk: Disk) -> list[Finding]:
    """The file systems that a mail server fills have room; one finding for each of them."""
    title = "file systems have room"
    if not disk.rows:
        return [
            judged(
                None,
                "disk-space",
                title,
                disk,
                message="`df` told nothing: whether there is room is not known.",
                remedy="run `df -P` on the server; a stale network mount makes it hang.",
                severity="high",
                blocking=True,
            )
        ]
    by_mount: dict[str, list[Space]] = {}
    for row in disk.rows:
        by_mount.setdefault(row.mounted_on or row.path, []).append(row)
    return [_space(disk, mount, rows) for mount, rows in by_mount.items()]


def _space(disk: Disk, mount: str, rows: list[Space]) -> Finding:
    row = rows[0]
    least = LEAST_BYTES_RUN if mount.startswith("/run") else LEAST_BYTES
    holds = None if row.available is None else row.available >= least and row.inodes != 0
    left = "not told" if row.available is None else f"{row.available // 1_000_000} MB"
    return judged(
        holds,
        "disk-space",
        "file systems have room",
        disk,
        subject=mount,
        expected=f"{least // 1_000_000} MB and a free inode",
        actual=f"{left}, inodes {'not limited' if row.inodes is None else row.inodes}",
        message=f"{mount} (with {', '.join(r.path for r in rows)}) has {left} and "
        f"{'no limit of' if row.inodes is None else row.inodes} inodes left: an install or a mail would be cut short.",
        remedy=f"free room on {mount} (`du -x {mount} | sort -n | tail`, `df -i`), or enlarge it.",
        severity="high",
        blocking=True,
    )


def _memory_available(system: System) -> Finding:
    """There is memory for Dovecot."""
    free = system.memory_available_kb
    return judged(
        None if free is None else free >= LEAST_MEMORY_KB,
        "memory-available",
        "memory is available",
        system,
        expected=f"{LEAST_MEMORY_KB // 1024} MB",
        actual="not told" if free is None else f"{free // 1024} MB",
        message="little or unknown memory is available: the kernel may kill Dovecot's processes under load.",
        remedy="stop what is not needed, or add memory or swap (`free -m`).",
        severity="low",
    )


def _selinux_tools(system: System) -> Finding:
    """Where SELinux enforces, files can be labelled."""
    return judged(
        system.selinux != "enforcing" or system.restorecon,
        "selinux-tools",
        "files can be labelled where SELinux enforces",
        system,
        expected="restorecon, where SELinux is enforcing",
        actual=f"SELinux {system.selinux}, restorecon {'there' if system.restorecon else 'missing'}",
        message="SELinux is enforcing and restorecon is missing: a certificate or configuration that we install "
        "would keep a wrong label, and Dovecot would be denied to read it.",
        remedy="install policycoreutils.",
        severity="high",
        blocking=True,
    )


def _ipv6_usable(system: System, sheet: Sheet) -> Finding:
    """The server has the IPv6 that the sheet asks for."""
    wanted = [a for a in [*(sheet.listen or []), *(sheet.addresses or [])] if ":" in a]
    own = {row.address for row in system.addresses}
    named = [a for a in (sheet.listen or []) if ":" in a and a != "::"]
    missing = [a for a in named if a not in own] if system.ipv6 else wanted
    return judged(
        not missing,
        "ipv6-usable",
        "the server has the IPv6 that the sheet asks for",
        system,
        expected=some(wanted) or "not asked for",
        actual=some([a for a in system.public_addresses if ":" in a]) or ("loopback" if system.ipv6 else "no IPv6"),
        message=f"the sheet wants {some(missing)}, and the server has no such address: Dovecot cannot listen "
        "there, and may not start at all.",
        remedy="give the server IPv6 (ipv6.disable in the kernel's command line, sysctl "
        "net.ipv6.conf.all.disable_ipv6), or leave IPv6 out of listen and addresses in the sheet.",
        severity="high",
    )


def _package_candidate(packages: Packages) -> Finding:
    """Dovecot's packages are installed, or the package manager offers them and is free."""
    finding = ("package-candidate", "Dovecot's packages can be had")
    none = [name for name in packages.missing if packages.candidates.get(name) is None]
    if packages.missing and packages.locked_by:
        message = f"the package manager is busy: {packages.locked_by}. An install would fail or wait."
        remedy = "wait until it is done (automatic updates often run after a boot), then run this again."
    else:
        message = f"no package {some(none) or '(unknown)'} can be had: {packages.reason or 'reason not told'}"
        remedy = (
            "run `apt-get update` or `dnf makecache` (yum makecache) there; check its package sources and its network."
        )
    shown = [f"{name} {version}" for name, version in packages.installed.items()]
    shown += [f"{name} {version or 'not offered'}" for name, version in packages.candidates.items()]
    return judged(
        bool(packages.needed) and not none and not (packages.missing and packages.locked_by),
        *finding,
        packages,
        expected=" ".join(packages.needed),
        actual=some(shown) or "nothing",
        message=message,
        remedy=remedy,
        severity="critical",
        blocking=True,
    )


def _dovecot_version_known(packages: Packages, system: System) -> Finding:
    """Dovecot, as installed or as it would be, is one whose dialect the runbook speaks."""
    version = system.dovecot_version or packages.dovecot_installed or packages.candidate_dovecot
    series = ".".join((version or "").split(".")[:2])
    if version:
        message = f"Dovecot {version} is none that the runbook knows: what its settings are called cannot be known."
    else:
        message = "which Dovecot is or would be installed cannot be told"
        message += f": {system.dovecot_problem}." if system.dovecot_problem else "."
    return judged(
        series in KNOWN_DOVECOT,
        "dovecot-version-known",
        "Dovecot's version is known",
        [system, packages],
        expected=", ".join(KNOWN_DOVECOT),
        actual=f"{version or 'not known'} ({'installed' if system.dovecot_version else 'offered'})",
        message=message,
        remedy="use a package of Dovecot 2.2, 2.3 or 2.4 (`dovecot --version`).",
        severity="critical",
        blocking=True,
    )
