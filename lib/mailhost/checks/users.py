"""The users' homes and Maildirs, what keeps them from logging in, and accounts left by earlier runs."""

from __future__ import annotations

from mailhost.checks.outcome import judged, some
from mailhost.facts.users import User, Users
from mailhost.finding import Finding
from mailhost.names import GECOS
from mailhost.sheet import Sheet


def users(users: Users, sheet: Sheet) -> list[Finding]:
    """Users can log in and open their mailboxes, and no account of an earlier run is left."""
    return [*users_homes(users, sheet), *mbox_mail(users, sheet), *login_blocked(users), *leftover_accounts(users)]


def users_homes(users: Users, sheet: Sheet) -> list[Finding]:
    """Each user has a home and a Maildir that are the user's own; one finding for each thing that is wrong."""
    finding = ("users-homes", "users own their homes and Maildirs")
    wrong = {
        "home missing": [u for u in users.rows if not u.home_exists],
        "home of another": [u for u in users.rows if u.home_owner not in (None, u.uid)],
        "Maildir of another": [u for u in users.rows if u.maildir_owner not in (None, u.uid)],
    }
    remedies = {
        "home missing": "make the home (`mkhomedir_helper USER`, or mkdir and chown), or remove the user.",
        "home of another": "`chown USER: HOME`.",
        "Maildir of another": f"`chown -R USER: {sheet.maildir}`.",
    }
    findings = [
        judged(
            False,
            *finding,
            users,
            subject=what,
            expected="own home, own Maildir",
            actual=some([f"{user.name} ({user.home})" for user in who]),
            message=f"{what}: {some([user.name for user in who])}. The login works and then the mailbox cannot be "
            "opened: the connection drops.",
            remedy=remedies[what],
        )
        for what, who in wrong.items()
        if who
    ]
    passed = judged(True, *finding, users, actual=f"{len(users.rows)} users", message="", remedy="")
    return findings or [passed]


def mbox_mail(users: Users, sheet: Sheet) -> list[Finding]:
    """No mail lies in /var/mail, where a Maildir server does not look."""
    full = [user for user in users.rows if user.mbox_bytes]
    return [
        judged(
            not full,
            "mbox-mail",
            "no mail lies where Dovecot does not look",
            users,
            expected="no mail in /var/mail",
            actual=some([f"{user.name} {user.mbox_bytes} bytes" for user in full]) or "none",
            message=f"there is mail in /var/mail of {some([user.name for user in full])}: Dovecot serves "
            f"{sheet.maildir} and does not show it.",
            remedy="move it over, for each user: `doveadm import -u USER mbox:/var/mail/USER '' all`.",
            severity="low",
        )
    ]


def login_blocked(users: Users) -> list[Finding]:
    """No file on the server refuses every login."""
    blocked = users.nologin if users.pam_nologin else ()
    return [
        judged(
            not blocked,
            "login-blocked",
            "logins are not blocked",
            users,
            expected="no /etc/nologin",
            actual=(some(users.nologin) or "none") + ("" if users.pam_nologin else "; Dovecot does not ask for it"),
            message=f"{some(blocked)} exists: PAM refuses every mail login while it does.",
            remedy=f"look why ({some(blocked)} may say it; a shutdown may be pending), then remove it.",
            severity="high",
        )
    ]


def leftover_accounts(users: Users) -> list[Finding]:
    """No temporary account of an earlier run is left, but for those that the server itself is about to remove."""
    ours = [user for user in users.leftovers if _ours(user)]
    left = [user for user in ours if not user.awaited]
    awaited = [f"{user.name} (the server removes it within half an hour)" for user in ours if user.awaited]
    return [
        judged(
            not left,
            "leftover-accounts",
            "no temporary account is left over",
            users,
            expected="none",
            actual=some([user.name for user in left] or awaited) or "none",
            message=f"temporary accounts of an earlier run are still there: {some([user.name for user in left])}. "
            "That run died; their passwords are known to nobody any more, yet they can receive mail.",
            remedy="the next run in apply mode removes them; by hand: `userdel -r NAME`.",
            severity="low",
        )
    ]


def _ours(user: User) -> bool:
    return user.gecos == GECOS
