"""Whether PAM's rules let somebody in without a password: they are walked with every module that asks for one refusing.

Source: pam.conf(5), the actions of its controls.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

# These say yes without a look at the password: tried on Debian, whose Dovecot asks PAM as root.
_NO_PASSWORD = (
    "pam_access", "pam_debug", "pam_echo", "pam_faillock", "pam_lastlog", "pam_listfile", "pam_localuser", "pam_permit",
    "pam_rootok", "pam_securetty", "pam_shells", "pam_succeed_if", "pam_usertype", "pam_wheel",
)  # fmt: skip
_ALWAYS = ("pam_permit", "pam_rootok")
# These have no say.
_SILENT = ("pam_cap", "pam_env", "pam_faildelay", "pam_group", "pam_keyinit", "pam_nologin", "pam_tally2", "pam_warn")
_CONTROLS = {
    "required": {"success": "ok", "ignore": "ignore", "default": "bad"},
    "requisite": {"success": "ok", "ignore": "ignore", "default": "die"},
    "sufficient": {"success": "done", "default": "ignore"},
    "optional": {"success": "ok", "default": "ignore"},
}
_RULE = re.compile(r"-?auth\s+(?P<control>\[[^\]]*\]|\S+)\s+(?P<module>\S+)(?P<rest>.*)")
_DEPTH = 8  # files that include each other in a ring end here


@dataclass(frozen=True)
class Rule:
    """One line: what is done for each result of its module."""

    actions: Mapping[str, str]
    module: str
    text: str

    @property
    def results(self) -> tuple[str, ...]:
        """What the module may say to somebody whose password is wrong."""
        if self.module in _NO_PASSWORD and "authfail" not in self.text:
            return ("success",) if self.module in _ALWAYS else ("success", "refused")
        return ("ignore",) if self.module in _SILENT else ("refused",)


def lets_in(files: Mapping[str, Sequence[str]], service: str) -> str:
    """The rule by which a wrong password is accepted for somebody; empty where there is none."""
    return _walk(tuple(_rules(files, service, _DEPTH)), 0, None)


def _rules(files: Mapping[str, Sequence[str]], name: str, depth: int) -> Iterator[Rule]:
    for line in files.get(name, ()) if depth else ():
        words = line.split()
        if words[0] == "@include":
            yield from _rules(files, words[-1], depth - 1)
        elif (rule := _RULE.match(line)) and rule["control"] in ("include", "substack"):
            yield from _rules(files, rule["module"], depth - 1)
        elif rule:
            yield Rule(_actions(rule["control"]), rule["module"].rpartition("/")[2].removesuffix(".so"), line)


def _actions(control: str) -> Mapping[str, str]:
    if control.startswith("["):
        return dict(word.split("=", 1) for word in control.strip("[]").split() if "=" in word)
    return _CONTROLS.get(control, _CONTROLS["required"])


def _walk(rules: tuple[Rule, ...], at: int, by: str | None) -> str:
    """The rule that decides for it from here on; ``by`` is the one that has spoken for it, empty after one against."""
    if at >= len(rules):
        return by or ""
    rule = rules[at]
    for result in rule.results:
        action = rule.actions.get(result, rule.actions.get("default", "bad"))
        spoken, after = by, at + 1
        if action == "die":
            continue
        if action == "reset":
            spoken = None
        elif action == "bad" or (action in ("ok", "done") and result == "refused"):
            spoken = ""
        elif action in ("ok", "done") and result == "success" and by is None:
            spoken = rule.text
        if action == "done" and spoken:
            return spoken
        after += int(action) if action.isdigit() else 0
        if found := _walk(rules, after, spoken):
            return found
    return ""
