"""Chapter 6: what is logged, where, and for whom."""

from __future__ import annotations

from fnmatch import fnmatch

from mailhost.checks.benchmark.model import Entry, Outcome, Server, known, none_of, off

TITLE = "Logging"
_DEBUG = ("auth_debug", "mail_debug", "verbose_ssl")
_NOWHERE = ("", "/dev/null")
_OTHERS_READ = 0o4


def _kept(server: Server) -> Outcome:
    path = server.hard.log_path
    if path is None:
        return Outcome(None, "a log that is kept", "not told", "doveconf did not tell log_path")
    if path == "syslog":
        return known(server.hard.syslog, "a log that is kept", "syslog", "Dovecot logs to syslog and nobody takes it")
    return known(path not in _NOWHERE, "a log that is kept", path or "(empty)", f"log_path is {path or 'empty'}")


def _failures(server: Server) -> Outcome:
    path, elements = server.hard.info_log_path, server.setting("login_log_format_elements", "%r")
    bad = ["info_log_path = /dev/null"] if path == "/dev/null" else []
    if not any(word in elements for word in ("%r", "rip", "remote_ip")):
        bad.append("login_log_format_elements is without the client's address")
    return none_of(bad, "logins and failures are logged with the client's address", "logins leave no trace")


def _debug(server: Server) -> Outcome:
    plain = off(server, _DEBUG, ("no",), "")
    filters = [f"log_debug = {value}" for _, value in server.everywhere("log_debug") if value]
    return none_of([*([plain.actual] if not plain.holds else []), *filters], "debugging off", "debugging is on")


def _files(server: Server) -> list[str]:
    return [line for line in server.hard.log_files if not line.split(" ", 2)[2].startswith("/dev/")]


def _rotated(server: Server) -> Outcome:
    paths = [line.split(" ", 2)[2] for line in _files(server)]
    bad = [path for path in paths if not any(fnmatch(path, pattern) for pattern in server.hard.rotated)]
    return none_of(bad, "syslog, or rotated by logrotate", "nobody rotates")


def _private(server: Server) -> Outcome:
    bad = [line.split(" ", 2)[2] for line in _files(server) if int(line.split(" ", 1)[0], 8) & _OTHERS_READ]
    return none_of(bad, "syslog, or closed to others", "everybody on the server may read")


ENTRIES = (
    Entry(
        "6.1",
        title="Dovecot logs no error and no warning",
        severity="high",
        why="what Dovecot complains of breaks one day, or hides an attack",
        measured="Dovecot's log since the run began; lines known to be harmless are listed below",
        remedy="Read the line: it mostly names the setting or the file.",
        source="Dovecot manual, logging; list of errors",
        measured_by=("log-errors", "log-warnings"),
    ),
    Entry(
        "6.2",
        id="log-kept",
        judge=_kept,
        title="Dovecot's log is kept somewhere",
        severity="high",
        why="errors and attacks leave no trace",
        measured="the effective log_path, and whether anybody takes what goes to syslog",
        remedy="`log_path = syslog` with a journal or a syslog daemon, or a file.",
        source="CIS Controls 8.2; Dovecot manual, logging",
    ),
    Entry(
        "6.3",
        id="auth-failures-logged",
        judge=_failures,
        title="Failed logins are logged with the client's address",
        severity="medium",
        why="nobody sees that passwords are tried, and nothing that bans attackers can work",
        measured="the effective info_log_path and login_log_format_elements",
        remedy="Take `info_log_path = /dev/null` out, and leave the client's address in the format.",
        spelled={
            "2.2": "In `login_log_format_elements` it is `rip=%r`.",
            "2.3": "In `login_log_format_elements` it is `rip=%r`.",
            "2.4": "In `login_log_format_elements` it is `rip=%{remote_ip}`.",
        },
        source="CIS Controls 8.5; Dovecot settings, login_log_format_elements",
    ),
    Entry(
        "6.4",
        id="debug-off",
        judge=_debug,
        title="Debugging is off",
        severity="low",
        why="logs fill up and hold more of people's mail and logins than anybody needs",
        measured="the effective auth_debug, mail_debug, verbose_ssl and log_debug",
        remedy="Set it back once the error is found.",
        spelled={
            "2.2": "`auth_debug = no`, `mail_debug = no`, `verbose_ssl = no`.",
            "2.3": "`auth_debug = no`, `mail_debug = no`, `verbose_ssl = no`, `log_debug =` empty.",
            "2.4": "`auth_debug = no`, `mail_debug = no`, `log_debug =` empty.",
        },
        source="Dovecot manual, logging",
    ),
    Entry(
        "6.5",
        id="log-rotates",
        judge=_rotated,
        title="Log files of Dovecot's own are rotated",
        severity="low",
        why="the log grows until the disk is full, and then no mail is delivered",
        measured="the effective log_path, info_log_path and debug_log_path, and what logrotate looks after",
        remedy="Add it to a file in /etc/logrotate.d, with `postrotate doveadm log reopen endscript`.",
        source="Dovecot manual, logging, rotating logs; logrotate(8)",
    ),
    Entry(
        "6.6",
        id="log-files-private",
        judge=_private,
        title="Log files of Dovecot's own are not for everybody to read",
        severity="medium",
        why="they hold who logs in, when and from where",
        measured="mode of the files that log_path, info_log_path and debug_log_path name",
        remedy="`chmod 0640 FILE`, and `create 0640 root adm` (or your group) for logrotate.",
        source="CIS Controls 3.3 and 8.3",
    ),
)
