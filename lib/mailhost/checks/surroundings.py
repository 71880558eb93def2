"""What stands around Dovecot: names, other programs on its ports, the MTA, the firewall, what bans addresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence

from mailhost.checks.outcome import judged, skipped, some
from mailhost.facts.bans import Bans
from mailhost.facts.firewall import Firewall
from mailhost.facts.listeners import Listeners
from mailhost.facts.mta import Mta
from mailhost.facts.system import System
from mailhost.finding import Finding
from mailhost.names import Resolved, is_address
from mailhost.sheet import PORTS, Sheet

# Who else serves mail, and how to go on: the mail of its users is what they would miss.
_COURIER = "`systemctl disable courier-imap courier-imap-ssl courier-pop courier-pop-ssl`, then `systemctl stop` with "
_COURIER += "the same names. Its mail lies in Maildirs, which Dovecot reads as they are (see maildir in the sheet); "
_COURIER += "POP3 clients may fetch what they have left on the server once more."
_CYRUS = "its mail is kept in a form of its own: copy it over IMAP first (imapsync, or `doveadm backup` with imapc), "
_CYRUS += "then disable and stop cyrus-imapd."
_CONTAINER = "`docker ps` shows which one publishes the port: stop it, or give it another port."
_OTHERS = {
    "couriertcpd": ("Courier", _COURIER),
    "cyrmaster": ("Cyrus", _CYRUS),
    "cyrus-master": ("Cyrus", _CYRUS),
    "docker-proxy": ("a container", _CONTAINER),
    "conmon": ("a container", _CONTAINER),
}


def names(answers: Mapping[str, Resolved], system: System, sheet: Sheet, reached: str = "") -> list[Finding]:
    """Each mail name leads to this server, and clients at all of its addresses see what is proven.

    ``answers`` come from `mailhost.names.ask`, ``reached`` is the address to which SSH really connected
    (`Host.address`): what the name of ssh.host resolves to is no proof, since one of its addresses may be another's.
    """
    known = {*system.public_addresses, *(sheet.addresses or ()), system.ssh_address, sheet.ssh_host, reached}
    own = {address for address in known if is_address(address)}
    asked = [answers[name] for name in sheet.mail_names if name in answers]
    return [*(_resolves(system, answer, own, sheet) for answer in asked), _proven(system, asked, sheet)]


def _proven(system: System, answers: Sequence[Resolved], sheet: Sheet) -> Finding:
    """``addresses-proven``: no address at which Dovecot listens is left out of what is tried from outside.

    Private ones count only where nothing but private ones is tried: behind address translation nobody gets there.
    """
    finding = ("addresses-proven", "every address of the server is tried from outside")
    tried = sheet.addresses or list(dict.fromkeys(address for answer in answers for address in answer.addresses))
    listens = sheet.listen or ["*", "::"]
    heard = [a for a in system.public_addresses if a in listens or ("::" if ":" in a else "*") in listens]
    public = any(ipaddress.ip_address(address).is_global for address in tried)
    left = [a for a in heard if a not in tried and (ipaddress.ip_address(a).is_global or not public)]
    if not left:
        return judged(True, *finding, system, actual=some(tried) or "none", message="", remedy="")
    return Finding(
        *finding,
        "skip",
        expected=some(heard),
        actual=some(tried) or "none",
        message=f"Dovecot listens at {some(left)} as well, which no mail name leads to: what clients see there, "
        "through another firewall perhaps, is not tried.",
        remedy="name all of the server's addresses in `addresses` of the sheet, or set `listen` to those meant.",
        evidence=system.evidence,
    )


def _resolves(system: System, answer: Resolved, own: set[str], sheet: Sheet) -> Finding:
    foreign = [a for a in answer.addresses if a not in own]
    private = [a for a in system.public_addresses if "." in a]
    behind_nat = bool(private) and all(ipaddress.ip_address(a).is_private for a in private)
    outside = [a for a in foreign if ipaddress.ip_address(a).is_global]
    holds: bool | None = bool(answer.addresses) and not foreign
    message = f"{answer.name} resolves to {some(foreign)}, which this server does not have: clients reach another one."
    remedy = "correct the name's A and AAAA records, or name the address in `addresses` of the sheet."
    if answer.problem:
        holds = None
        message = f"no resolver answered for {answer.name}: {answer.problem}. Whether clients find the server is open."
        remedy = f"ask again; `dig {answer.name}` on this machine, or set `resolver` in the sheet."
    elif answer.missing:
        message = f"{answer.name} does not exist, or has no address: no client finds the server by it."
        remedy = "make A and AAAA records for it, or correct mail_names in the sheet."
    elif foreign and outside == foreign and behind_nat and not sheet.addresses:
        holds = None
        message = f"{answer.name} resolves to {some(foreign)}, and the server has private addresses only: it may stand "
        message += "behind address translation, which cannot be seen from it."
        remedy = "when that address leads to this server, name it in `addresses` of the sheet."
    return judged(
        holds,
        "names-resolve",
        "mail names lead to this server",
        system,
        subject=answer.name,
        expected=some(sorted(own)),
        actual=some(answer.addresses) or answer.problem or "no address",
        message=message,
        remedy=remedy,
        severity="high",
    )


def ports(listeners: Listeners, sheet: Sheet | None = None) -> list[Finding]:
    """No other program holds the ports that Dovecot needs (with a sheet: its protocols'); a finding for each."""
    title = "mail ports are free for Dovecot"
    findings = []
    for service, port in PORTS.items():
        if sheet is not None and service.removesuffix("s") not in sheet.protocols:
            continue
        foreign = [row for row in listeners.mail if row.port == port and not row.dovecot]
        who = some([f"{row.program or 'an unknown program'} (process {row.pid or '?'})" for row in foreign])
        what, known = next((_OTHERS[row.program] for row in foreign if row.program in _OTHERS), ("", ""))
        plain = f"stop and disable that program, or move it; `netstat -tlpn | grep :{port}` shows it."
        mine = any(row.port == port for row in listeners.mail)
        findings.append(
            judged(
                not foreign if listeners.known else None,
                "mail-ports-free",
                title,
                listeners,
                subject=str(port),
                expected="free, or Dovecot",
                actual=who or ("not known" if not listeners.known else "Dovecot" if mine else "free"),
                message=f"port {port} is held by {who}{f', which is {what}' if what else ''}: Dovecot could not start."
                if foreign
                else "neither netstat nor ss is there: who holds the port is not known.",
                remedy=(known or plain) if foreign else "install iproute2 (ss) or net-tools (netstat).",
                severity="critical",
                blocking=True,
            )
        )
    return findings


def mta(mta: Mta, sheet: Sheet) -> list[Finding]:
    """The mail server here delivers where Dovecot looks."""
    finding = ("mta-delivers-to-maildir", "mail is delivered where Dovecot looks for it")
    if mta.name == "none":
        return [skipped(*finding, "no mail server is installed here; nothing is delivered", fact=mta)]
    holds, actual = _delivers(mta, sheet.maildir.removeprefix("~/"))
    if mta.name == "postfix":
        remedy = f"`postconf -e 'home_mailbox = {sheet.maildir.removeprefix('~/')}/' 'mailbox_command ='`, then "
        remedy += "`systemctl reload postfix`; move old mail over (`mb2md` or `doveadm import`)."
    elif mta.name == "exim":
        remedy = "set dc_localdelivery='maildir_home' (`dpkg-reconfigure exim4-config`)."
    else:
        remedy = f"look at where {mta.name} delivers, and set maildir in the sheet to it."
    return [
        judged(
            holds,
            *finding,
            mta,
            expected=sheet.maildir,
            actual=actual,
            message=f"{mta.name} delivers to {actual}: users who log in may see empty mailboxes "
            f"while their mail piles up elsewhere.",
            remedy=remedy,
        )
    ]


def _delivers(mta: Mta, maildir: str) -> tuple[bool | None, str]:
    """Whether it delivers to this folder of the homes, and to where it does; None when that cannot be told."""
    if mta.problem:
        return None, f"unknown: {mta.problem}"
    for word in (mta.mailbox_transport, mta.mailbox_command):
        if "dovecot" in word or "deliver" in word:
            return True, f"Dovecot itself ({word})"
        if word:
            return None, f"what `{word}` decides"
    if mta.name == "postfix":
        return mta.home_mailbox == f"{maildir}/", f"~/{mta.home_mailbox}" if mta.home_mailbox else "mbox in /var/mail"
    if mta.name == "exim" and mta.localdelivery:
        return mta.localdelivery == "maildir_home" and maildir == "Maildir", mta.localdelivery
    return None, "a place that it does not tell"


def firewall(firewall: Firewall, sheet: Sheet) -> list[Finding]:
    """The firewall is one that we can read, and it runs; or there is none."""
    ports = ", ".join(str(PORTS[name]) for name, state in sheet.firewall.wanted().items() if state == "open")
    finding = ("firewall-known", "the firewall is one that we can read")
    if firewall.active and not firewall.managed:
        remedy = f"make sure that they let in TCP ports {ports}: "
        remedy += (
            f"`nft insert rule inet filter input tcp dport {{ {ports} }} accept` (with your own table and chain), "
            if firewall.tool == "nftables"
            else f"`iptables -I INPUT -p tcp -m multiport --dports {ports.replace(' ', '')} -j ACCEPT` "
            "(and ip6tables), "
        )
        remedy += "and keep it over a restart; the connects from outside tell whether it works."
        return [
            Finding(
                *finding,
                "skip",
                "low",
                actual=firewall.tool,
                message=f"{firewall.tool} rules of the owner's own filter here, which we neither read nor change.",
                remedy=remedy,
                evidence=firewall.evidence,
            )
        ]
    actual = firewall.tool if firewall.active or firewall.tool == "none" else f"{firewall.tool}, not running"
    return [
        judged(
            firewall.tool == "none" or firewall.active,
            *finding,
            firewall,
            expected="firewalld or ufw, running; or none",
            actual=actual + (f" ({firewall.idle} is installed, stopped and disabled)" if firewall.idle else ""),
            message=f"{firewall.tool} is enabled and does not run: nothing filters now, after a restart something "
            "will, and rules are not looked at.",
            remedy=f"`systemctl start {firewall.tool}`; or `systemctl disable {firewall.tool}` where none is wanted.",
            severity="low",
        )
    ]


def bans(bans: Bans, sheet: Sheet) -> list[Finding]:
    """Our own failed logins stay below what gets an address banned."""
    finding = ("ban-limit", "failed logins of the tests get nobody banned")
    if not bans.rows or sheet.failed_logins == 0:
        actual = f"{some(bans.active) or 'nothing'} active, no rule for mail logins" if not bans.rows else "none made"
        return [judged(True, *finding, bans, expected=str(sheet.failed_logins), actual=actual, message="", remedy="")]
    findings = []
    for row in bans.rows:
        ignored = _covers(row.ignored, bans.client)
        rule = f"{row.tool} {row.jail}".strip()
        limit = "an unknown number of" if row.limit is None else str(row.limit)
        findings.append(
            judged(
                True if ignored else None if row.limit is None else row.limit > sheet.failed_logins,
                *finding,
                bans,
                subject=rule,
                expected=f"more than {sheet.failed_logins} (failed_logins in the sheet)",
                actual=f"{limit} failed logins{', and this machine is exempt' if ignored else ''}",
                message=f"{rule} bans an address after {limit} failed logins, and the tests make "
                f"{sheet.failed_logins}: this machine, and users behind the same address, could be shut out.",
                remedy=f"lower failed_logins in the sheet, or exempt {bans.client or 'this machine'} "
                "(fail2ban: ignoreip).",
            )
        )
    return findings


def allowance(bans: Bans) -> int | None:
    """How many failed logins this machine may make before somebody bans it; None where nobody does."""
    limits = [row.limit - 1 for row in bans.rows if row.limit is not None and not _covers(row.ignored, bans.client)]
    return max(0, min(limits)) if limits else None


def _covers(networks: tuple[str, ...], client: str) -> bool:
    """Whether one of the networks holds the address; an entry that is a name holds none."""
    if not client:
        return False
    for text in networks:
        try:
            if ipaddress.ip_address(client) in ipaddress.ip_network(text, strict=False):
                return True
        except ValueError:
            continue
    return False
