"""Chapter 4: files, folders and sockets."""

from __future__ import annotations

from mailhost.checks.benchmark.model import Entry, Outcome, Server, none_of

TITLE = "Files and permissions"
_OTHERS_READ, _OTHERS_ENTER, _OTHERS = 0o4, 0o1, 0o7
_WRITE, _GROUP_WRITE, _OTHERS_WRITE = 0o022, 0o020, 0o002
# Dovecot itself opens these to everybody, whichever the version: they tell others nothing but of themselves, or lie in
# folders that others cannot enter. Whoever may talk to another gets passwords checked, or the server administered.
_OPEN = ("auth-userdb", "dns-client", "imap-urlauth", "indexer", "lmtp", "ssl-params")
_OPEN_FOLDERS = ("login/", "token-login/")
_OPEN_TO_GROUP = ("dict", "dict-async", "imap-hibernate", "stats-writer")  # to Dovecot's own
_OWN_SETTINGS = ("default_internal_group", "default_internal_user", "default_login_user", "mail_gid")
_OWN_GROUPS = ("", "root", "dovecot", "dovenull")
_MAIL_SERVERS = ("postfix", "exim", "Debian-exim")  # they ask Dovecot for logins to their own ports


def _mode(stat: str) -> int:
    return int(stat.split(" ", 1)[0], 8)


def _writable(server: Server) -> Outcome:
    return none_of(server.hard.writable, "only root may write", "others than root may write the configuration")


def _secrets(server: Server) -> Outcome:
    named = [line.split(" ", 2)[2] for line in server.hard.named if _mode(line) & _OTHERS_READ]
    bad = sorted({*named, *server.hard.secrets})
    return none_of(bad, "files with passwords are closed to others", "everybody on the server may read passwords in")


def _sockets(server: Server) -> Outcome:
    if not server.hard.base and server.found.running:
        return Outcome(None, "closed to others", "not told", "the run-time folder could not be read")
    bad = [path for path in server.hard.open_sockets if not _opened_by_dovecot(_inside(path, server))]
    own = {*_OWN_GROUPS, *_MAIL_SERVERS, *(server.setting(name, "") for name in _OWN_SETTINGS)}
    for socket in server.sockets:
        path = _inside(socket.path, server)
        mode = int(socket.mode or ("0660" if path in _OPEN_TO_GROUP else "0600"), 8)
        if mode & _OTHERS_WRITE and not _opened_by_dovecot(path) and path not in server.hard.shut_sockets:
            bad.append(f"{socket.path} ({mode:04o})")
        elif mode & _GROUP_WRITE and socket.group not in {*own, socket.user} and not socket.group.startswith("$"):
            bad.append(f"{socket.path} ({mode:04o}, group {socket.group})")
    return none_of(bad, "closed to others", "every account on the server, or of another group, may talk to")


def _inside(path: str, server: Server) -> str:
    """Its name within base_dir, or the path itself."""
    bases = (server.hard.base.split(" ", 2)[-1], "/run/dovecot", "/var/run/dovecot")
    return next((path.removeprefix(f"{base}/") for base in bases if base and path.startswith(f"{base}/")), path)


def _opened_by_dovecot(path: str) -> bool:
    return path in _OPEN or path.startswith(_OPEN_FOLDERS)


def _run_dir(server: Server) -> Outcome:
    base, login = server.hard.base, server.hard.login
    if not base and server.found.running:
        return Outcome(None, "0755 and 0750, root", "not told", "the run-time folder could not be read")
    bad = [line for line in (base, login) if line and (_mode(line) & _WRITE or line.split(" ")[1] != "root")]
    bad += [login] if login and login not in bad and _mode(login) & _OTHERS else []
    return none_of(bad, "base_dir 0755, its folder login 0750, root", "Dovecot's run-time folder is too open")


def _maildirs(server: Server) -> Outcome:
    bad = [
        f"{user.name} ({user.maildir_mode})"
        for user in server.people.rows
        if user.maildir_mode
        and int(user.maildir_mode, 8) & _OTHERS_READ
        and int(user.home_mode or "777", 8) & _OTHERS_ENTER
    ]
    return none_of(bad, "0700", "every account on the server may read the mail of")


ENTRIES = (
    Entry(
        "4.1",
        id="conf-writable",
        judge=_writable,
        title="Only root writes Dovecot's configuration",
        severity="critical",
        why="Dovecot starts as root and runs what its configuration says: who writes there is root, or gives himself a "
        "password",
        measured="owner and mode of every file and folder below /etc/dovecot",
        remedy="`chown root FILE; chmod go-w FILE` for each; what others must write belongs elsewhere.",
        source="CIS Controls 3.3; Dovecot manual, security",
    ),
    Entry(
        "4.2",
        id="secrets-readable",
        judge=_secrets,
        title="Passwords in files are not for everybody to read",
        severity="high",
        why="one broken web page on the same server is enough to take all mail passwords, or the database",
        measured="mode of password files, of files that passdb and userdb name, and of configuration with a password",
        remedy="`chown root:dovecot FILE; chmod 0640 FILE`.",
        source="Dovecot manual, passwd-file and SQL authentication; CIS Controls 3.3",
    ),
    Entry(
        "4.3",
        id="auth-sockets",
        judge=_sockets,
        title="Sockets that check passwords or administer are closed to others",
        severity="high",
        why="passwords can be tried without limit, users listed, mail opened",
        measured="the mode of the sockets in base_dir, as they are; mode, user and group of those that the "
        "configuration makes, against Dovecot's own defaults",
        remedy="Take `mode` and `group` out of that `unix_listener`, or make it 0600 with the user who needs it.",
        source="Dovecot manual, service configuration, unix listeners",
    ),
    Entry(
        "4.4",
        id="run-dir-protected",
        judge=_run_dir,
        title="Dovecot's run-time folder is root's",
        severity="medium",
        why="whoever writes there puts a socket of his own in place of Dovecot's and is told passwords",
        measured="owner and mode of base_dir and of its folder login",
        remedy="`chown root /run/dovecot; chmod 0755 /run/dovecot; chmod 0750 /run/dovecot/login`, or restart Dovecot.",
        source="Dovecot manual, login processes",
    ),
    Entry(
        "4.5",
        id="maildirs-private",
        judge=_maildirs,
        title="Mail is for its owner to read",
        severity="high",
        why="other people on the server, and every service there, may read that mail",
        measured="the mode of each user's home and Maildir",
        remedy="`chmod -R go-rwx ~USER/Maildir`.",
        source="CIS Distribution Independent Linux Benchmark, home directories; Dovecot manual, mail users",
    ),
)
