"""What the server says to clients: greeting, capabilities, refusals and logins.

A refusal counts only beside a positive control, an accepted login of the same account in the same run, and only by
the server's own code or words. Whatever else it says is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from mailhost.checks.outcome import observed, unobserved
from mailhost.finding import Finding, Status
from mailhost.parse.dialogue import needs_tls
from mailhost.probes.dialogue import Attempt, Dialogue

_CLOSE_CLEARTEXT = (
    "set ssl = required and disable_plaintext_auth = yes (2.4: auth_allow_cleartext = no), apply section 05_secure, "
    "and look whether login_trusted_networks covers this client."
)


def greeting(seen: Iterable[Dialogue]) -> list[Finding]:
    """``greeting``: the service introduces itself in its protocol."""
    return [_greeting(d) for d in seen]


def _greeting(d: Dialogue) -> Finding:
    if d.greeting.startswith(("+OK", "* OK")):
        return _finding("greeting", d, "pass", actual=d.greeting)
    whole = d.broke == "protocol"  # a line that was cut off says nothing for certain
    said = d.greeting or next((line.text for line in d.lines if whole and line.who == "S"), "")
    if not _OTHERS.match(said):
        return _unknown("greeting", d)
    return _finding(
        "greeting",
        d,
        "fail",
        actual=said,
        message=f"{d.target} does not greet as a {d.target.protocol.upper()} server that is ready: {said}. "
        "No client can use it.",
        remedy="look which program listens on that port (`ss -ltnp`) and into Dovecot's log.",
    )


# As long as no TLS is served, there is no TLS to offer either.
_OFFERS_NOTHING = {"pop3": "no USER, no mechanism behind SASL", "imap": "LOGINDISABLED, no AUTH="}

# A service that will not serve, or another protocol's; anything else is garbage, of which nothing can be said.
_OTHERS = re.compile(r"-ERR|\* (?:BYE|NO|BAD)\b|\+OK|\* OK|220[ -]|SSH-|HTTP/")


def capabilities_cleartext(seen: Iterable[Dialogue], *, tls_served: bool = True) -> list[Finding]:
    """``capabilities-cleartext``: before TLS no way to log in is offered, and (once TLS is served) TLS is."""
    return [_capabilities(d, tls_served=tls_served) for d in seen if not d.target.implicit_tls]


def _capabilities(d: Dialogue, *, tls_served: bool) -> Finding:
    words = d.capabilities_before
    if d.target.origin == "loopback":
        return _unknown("capabilities-cleartext", d, "from its own loopback every connection counts as secured")
    if words is None:
        return _unknown("capabilities-cleartext", d)
    faults = _offered_in_clear(d.target.protocol, words)
    word = "STLS" if d.target.protocol == "pop3" else "STARTTLS"
    if tls_served and word not in words:
        faults.append(f"{word} is missing")
    expected = "" if tls_served else _OFFERS_NOTHING[d.target.protocol]
    if not faults:
        return _finding("capabilities-cleartext", d, "pass", actual=" ".join(words), expected=expected)
    return _finding(
        "capabilities-cleartext",
        d,
        "fail",
        actual=" ".join(words),
        expected=expected,
        message=f"before TLS {d.target} announces: {'; '.join(faults)}. Clients that go by it send passwords in clear, "
        "or find no way to TLS.",
        remedy=_CLOSE_CLEARTEXT,
    )


def _offered_in_clear(protocol: str, words: tuple[str, ...]) -> list[str]:
    if protocol == "imap":
        offered = [f"{word} is offered" for word in words if word.startswith("AUTH=")]
        return offered if "LOGINDISABLED" in words else ["LOGINDISABLED is missing", *offered]
    sasl = next((word for word in words if word.split(" ")[0] == "SASL"), "SASL")
    return [f"{word} is offered" for word in (*(w for w in words if w == "USER"), sasl) if word != "SASL"]


# USER and AUTH=PLAIN are what mail programs log in with; what leads to TLS has no place behind it.
_UNDER_TLS = {"pop3": (("USER", "SASL PLAIN"), ("STLS",)), "imap": (("AUTH=PLAIN",), ("STARTTLS", "LOGINDISABLED"))}


# What a secured server may offer: a password in clear, which TLS protects, or better. The challenges of before TLS
# (CRAM-MD5, DIGEST-MD5, APOP, NTLM, OTP, SKEY, RPA) have the server keep passwords readable or break easily.
_MECHANISM = re.compile(r"PLAIN|LOGIN|SCRAM-.+|OAUTHBEARER|XOAUTH2|EXTERNAL|GSSAPI|GS2-.+")
_CHALLENGE = re.compile(
    r"<[0-9a-f]+\.[^<>@\s]+@[^<>\s]+>\s*$", re.IGNORECASE
)  # in a greeting it offers APOP (RFC 1939)


def capabilities_tls(seen: Iterable[Dialogue]) -> list[Finding]:
    """``capabilities-tls``: under TLS the ways to log in are offered, no weak one with them, and TLS not again."""
    return [_capabilities_tls(d) for d in seen]


def _capabilities_tls(d: Dialogue) -> Finding:
    words = d.capabilities_after
    if words is None:
        return _unknown("capabilities-tls", d)
    must, may_not = _UNDER_TLS[d.target.protocol]
    offered = _mechanisms(d, words)
    known = {*words, *(f"SASL {one}" for one in offered)}
    odd = [f"{word} is missing" for word in must if word not in known]
    odd += [f"{word} is announced" for word in may_not if word in known]
    weak = [one for one in offered if not _MECHANISM.fullmatch(one)]
    if not odd and not weak:
        return _finding("capabilities-tls", d, "pass", actual=" ".join(words))
    follows = ["Mail programs that go by it do not log in, or ask for another way."] if odd else []
    if "ANONYMOUS" in weak:
        follows.append("By ANONYMOUS anybody comes in without a password.")
    elif weak:
        follows.append("A weak mechanism gives less than a password over TLS, and has passwords stored readably.")
    return _finding(
        "capabilities-tls",
        d,
        "fail",
        severity="critical" if "ANONYMOUS" in weak else "medium",
        actual=" ".join(words),
        message=f"under TLS {d.target} announces: {'; '.join([*odd, *(f'{one} is offered' for one in weak)])}. "
        + " ".join(follows),
        remedy="set auth_mechanisms = plain login; look at imap_capability and disable_plaintext_auth in "
        "`doveconf -n`.",
    )


def _mechanisms(d: Dialogue, words: tuple[str, ...]) -> list[str]:
    """The mechanisms that are offered, by what POP3 and IMAP call them."""
    if d.target.protocol == "imap":
        return [word.removeprefix("AUTH=") for word in words if word.startswith("AUTH=")]
    listed = [one for word in words if word.split(" ")[0] == "SASL" for one in word.split()[1:]]
    return [*listed, "APOP"] if "APOP" in words or _CHALLENGE.search(d.greeting) else listed


def cleartext_refused(seen: Iterable[Dialogue], control: Iterable[Dialogue]) -> list[Finding]:
    """``cleartext-refused``: no login without TLS, per service and address.

    ``control`` are the logins with the right password of the same account in this run, over TLS or (where TLS is
    not served yet) through SSH to the server's loopback. Without an accepted one every refusal is unknown, since
    a server that refuses everything proves nothing.
    """
    accepted = [c for c in control if c.accepted and (c.tls is not None or c.target.origin == "loopback")]
    return [_not_tried("cleartext-refused", d) if d.untried else _refused(d, accepted) for d in seen]


def _not_tried(check: str, d: Dialogue) -> Finding:
    return _finding(check, d, "skip", actual="not tried", message=f"{d.target}: {d.untried}.")


def _refused(d: Dialogue, accepted: list[Dialogue]) -> Finding:
    evidence = tuple(n for c in accepted[:1] for n in c.evidence)
    listened = [a for a in d.attempts if d.took_up(a)]
    if d.target.origin == "loopback":
        return _unknown("cleartext-refused", d, "from its own loopback every connection counts as secured")
    if listened:
        worst = listened[-1]
        return _finding(
            "cleartext-refused",
            d,
            "fail",
            severity="critical",
            actual=_shown(worst),
            message=f"{d.target} was ready to take a password without TLS ({worst.method}: {worst.reply.brief}). "
            "Passwords can be read by anybody on the way.",
            remedy=_CLOSE_CLEARTEXT,
        )
    if not d.attempts or d.error is not None:
        return _unknown("cleartext-refused", d)
    odd = [a for a in d.attempts if not needs_tls(d.target.protocol, a.reply)]
    if odd:
        return _unknown(
            "cleartext-refused", d, f"this is no refusal that we know: {odd[0].method}: {odd[0].reply.brief}"
        )
    if not accepted:
        return _unknown(
            "cleartext-refused",
            d,
            "it refused, but the same account was not accepted securely in this run, so that it may refuse everything",
        )
    return _finding("cleartext-refused", d, "pass", actual=_shown(d.attempts[-1]), evidence=evidence)


def login_accepted(seen: Iterable[Dialogue]) -> list[Finding]:
    """``login-accepted``: the right password is taken and the mailbox opens, per way in."""
    return [_login(d) for d in seen]


_TOOK = re.compile(r" \([\d.+ ]+ secs\)\.$")  # how long it took is another each time


def _login(d: Dialogue) -> Finding:
    step = "STAT" if d.target.protocol == "pop3" else "SELECT INBOX"
    if d.accepted and d.last is not None and d.mailbox is not None:
        return _finding("login-accepted", d, "pass", actual=f"{d.last.reply.brief} / {_TOOK.sub('', d.mailbox.brief)}")
    if d.logged_in and d.last is not None:
        if d.mailbox is None and d.broke not in ("closed", "protocol"):
            return _unknown("login-accepted", d)
        after = d.mailbox.brief if d.mailbox is not None else d.error
        return _finding(
            "login-accepted",
            d,
            "fail",
            severity="high",
            actual=f"{d.last.reply.brief} / {after}",
            message=f'{d.target} answers "{d.last.reply.brief}" and then {step} fails: {after}. The password is right '
            "and the mailbox cannot be opened: users see an error or no mail.",
            remedy="look into Dovecot's log for this user: the home or its Maildir is missing, belongs to somebody "
            "else, or mail_location (2.4: mail_path, mail_inbox_path) leads elsewhere.",
        )
    if d.last is None or d.error is not None:
        return _unknown("login-accepted", d)
    return _finding(
        "login-accepted",
        d,
        "fail",
        severity="high",
        actual=_shown(d.last),
        message=f"{d.target} does not accept the right password ({d.last.method}: {d.last.reply.brief}). "
        "Users cannot get their mail this way.",
        remedy="try `doveadm auth test NAME` on the server and look into its log (PAM, an expired account, a uid below "
        "first_valid_uid); where TLS was left out, a refusal is right.",
    )


def wrong_password_refused(seen: Iterable[Dialogue], control: Iterable[Dialogue]) -> list[Finding]:
    """``wrong-password-refused``: a wrong password is refused as such, over TLS."""
    return _rejected("wrong-password-refused", seen, control)


def unknown_user_refused(seen: Iterable[Dialogue], control: Iterable[Dialogue]) -> list[Finding]:
    """``unknown-user-refused``: a user whom the server does not have is refused, over TLS."""
    return _rejected("unknown-user-refused", seen, control)


def expired_account_refused(seen: Iterable[Dialogue], control: Iterable[Dialogue]) -> list[Finding]:
    """``expired-account-refused``: the right password of an account that has expired is refused, over TLS."""
    return _rejected("expired-account-refused", seen, control)


# What the server took that it should not have, what follows, and what to look at.
_TAKEN = {
    "wrong-password-refused": ("accepts a wrong password", "Anybody can read the mail."),
    "unknown-user-refused": ("lets in a user whom the server does not have", "Anybody can come in by any name."),
    "expired-account-refused": ("lets in an account that has expired", "Who has left still reads mail."),
}
_LOOK_AT = {
    "wrong-password-refused": "look at the passdb in `doveconf -n` (static, nopassword) and at /etc/pam.d/dovecot "
    "(pam_permit).",
    "unknown-user-refused": "look at passdb and userdb in `doveconf -n` (static, nopassword) and at /etc/pam.d/dovecot "
    "(pam_permit).",
    "expired-account-refused": "look at the account lines of /etc/pam.d/dovecot and what they include (pam_unix must "
    "stand there), and whether a passdb of `doveconf -n` goes round PAM.",
}


def _rejected(check: str, seen: Iterable[Dialogue], control: Iterable[Dialogue]) -> list[Finding]:
    accepted = [c for c in control if c.accepted and c.tls is not None]
    return [_reject(check, d, accepted) for d in seen]


def _reject(check: str, d: Dialogue, accepted: list[Dialogue]) -> Finding:
    if d.last is None or (d.error is not None and not d.logged_in):
        return _unknown(check, d)
    if d.logged_in:
        taken, follows = _TAKEN[check]
        return _finding(
            check,
            d,
            "fail",
            severity="critical",
            actual=_shown(d.last),
            message=f"{d.target} {taken} ({d.last.reply.brief}). {follows}",
            remedy=_LOOK_AT[check],
        )
    expected = ("AUTH",) if d.target.protocol == "pop3" else ("AUTHENTICATIONFAILED", *_ALSO.get(check, ()))
    if d.last.reply.key not in expected or d.last.method == "USER" or needs_tls(d.target.protocol, d.last.reply):
        return _unknown(check, d, f"it is refused, but not as it should be: {d.last.method}: {d.last.reply.brief}")
    if not accepted:
        return _unknown(
            check, d, "it refused, but no right password was accepted in this run, so that it may refuse everybody"
        )
    return _finding(check, d, "pass", actual=_shown(d.last), evidence=accepted[0].evidence)


# Dovecot says EXPIRED where its passdb tells it so; PAM's word for it arrives as a wrong password.
_ALSO = {"expired-account-refused": ("EXPIRED", "AUTHORIZATIONFAILED")}


def mail_stored_and_read(seen: Iterable[Dialogue]) -> list[Finding]:
    """``mail-stored-and-read``: a message goes in by IMAP and is read back by each protocol, then removed.

    ``seen`` are the dialogues of an exchange.
    """
    return [_stored(d) for d in seen]


def _stored(d: Dialogue) -> Finding:
    is_imap = d.target.protocol == "imap"
    if d.read and not (is_imap and d.removed is not True):
        return _finding("mail-stored-and-read", d, "pass", actual="stored, read and removed" if is_imap else "read")
    if is_imap and d.stored is False:
        said = "the server refused to store it"
    elif d.read is False:
        said = "it was stored and is not there when read back"
    elif is_imap and d.read and d.removed is False:
        said = "it was stored and read, and could not be removed (subject: dovecot-runbook test message)"
    else:
        return _unknown("mail-stored-and-read", d)
    return _finding(
        "mail-stored-and-read",
        d,
        "fail",
        severity="high",
        actual=said,
        message=f"a test message by {d.target}: {said}. Mail that is delivered may not be seen by its reader.",
        remedy="compare the mailbox's path for both protocols (`doveadm mailbox path -u NAME INBOX`), its owner, its "
        "rights and the disk's free space; see the dialogue in the transcript.",
    )


def session_kept(seen: Iterable[Dialogue]) -> list[Finding]:
    """``session-kept``: a session that was open before the change answers in the same connection after it.

    ``seen`` are sessions that were held open, and asked by NOOP some time afterwards: without shutdown_clients = no
    Dovecot ends idle ones at once when it reloads, and all others 5 s later.
    """
    return [_kept(d) for d in seen]


def _kept(d: Dialogue) -> Finding:
    if d.error is None and d.answered is not None and d.answered.ok:
        return _finding("session-kept", d, "pass", actual=f"NOOP: {d.answered.brief}")
    if not d.accepted and d.broke == "tls":
        return _finding(
            "session-kept",
            d,
            "skip",
            actual="no session before the change",
            message=f"{d.target}: {d.error}. With the certificate of before nobody could log in, so there was no "
            "session to keep.",
        )
    if not d.accepted or (d.error is None and d.answered is None) or d.broke not in ("", "closed"):
        return _unknown("session-kept", d)
    said = d.error or (d.answered.brief if d.answered else "")
    return _finding(
        "session-kept",
        d,
        "fail",
        severity="high",
        actual=said,
        message=f"a session at {d.target} was open before the change and did not outlive it: {said}. Everybody who "
        "was connected has lost the connection; their programs must log in anew.",
        remedy="apply section 05_secure, which sets shutdown_clients = no; look at what the unit does on reload "
        "(`systemctl show -p ExecReload dovecot`: it should be `doveadm reload` and no more).",
    )


_TITLES = {
    "greeting": "the service greets in its protocol",
    "capabilities-cleartext": "no login is offered before TLS, and TLS is",
    "capabilities-tls": "under TLS the ways to log in are offered",
    "cleartext-refused": "a login without TLS is refused",
    "login-accepted": "the right password opens the mailbox",
    "wrong-password-refused": "a wrong password is refused",
    "unknown-user-refused": "an unknown user is refused",
    "expired-account-refused": "an expired account is refused",
    "mail-stored-and-read": "mail is stored by IMAP and read back",
    "session-kept": "open sessions live on",
}
_NO = {"pop3": "-ERR [AUTH]", "imap": "NO [AUTHENTICATIONFAILED]"}
_EXPECTED = {
    "greeting": {"pop3": "+OK ...", "imap": "* OK ..."},
    "capabilities-cleartext": {"pop3": "STLS; no USER, SASL empty", "imap": "STARTTLS LOGINDISABLED"},
    "capabilities-tls": {
        "pop3": "USER, SASL PLAIN; no STLS, nothing weak",
        "imap": "AUTH=PLAIN; no STARTTLS, no LOGINDISABLED, nothing weak",
    },
    "cleartext-refused": {
        "pop3": "-ERR [AUTH] ... disallowed on non-secure (SSL/TLS) connections.",
        "imap": "NO [PRIVACYREQUIRED]",
    },
    "login-accepted": {"pop3": "+OK, then STAT +OK", "imap": "OK, then SELECT INBOX OK"},
    "wrong-password-refused": _NO,
    "unknown-user-refused": _NO,
    "expired-account-refused": _NO,
    "mail-stored-and-read": {"pop3": "read", "imap": "stored, read and removed"},
    "session-kept": {"pop3": "NOOP +OK in the same session", "imap": "NOOP OK in the same session"},
}


def title(check: str) -> str:
    """The condition that a finding of this id is about."""
    return _TITLES[check]


def _unknown(check: str, d: Dialogue, reason: str | None = None) -> Finding:
    why = reason or d.error or "the dialogue ended before it came to that"
    remedy = "see the dialogue in the transcript, mend what is named there and run it again."
    expected = _EXPECTED[check][d.target.protocol]
    return unobserved(check, _TITLES[check], d, why, remedy, subject=_subject(d), expected=expected)


def _finding(check: str, d: Dialogue, status: Status, *, expected: str = "", **told: Any) -> Finding:
    expected = expected or _EXPECTED[check][d.target.protocol]
    return observed(check, _TITLES[check], d, status, expected=expected, subject=_subject(d), **told)


def _subject(d: Dialogue) -> str:
    return str(d.target) if d.mechanism is None else f"{d.target} by {d.mechanism}"


def _shown(attempt: Attempt) -> str:
    return f"{attempt.method}: {attempt.reply.brief}"
