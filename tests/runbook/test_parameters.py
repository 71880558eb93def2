"""Parameters are checked in the first cell, since papermill checks nothing."""

from __future__ import annotations

import pytest

from mailhost.errors import SheetError
from mailhost.sheet import KEYS
from runbook import parameters

EMPTY = dict.fromkeys((*parameters.OWN, *KEYS)) | {"mode": "plan", "canary": False, "thorough": False}
SHEET = {"name": "mail.example.com", "mail_names": ["mail.example.com"]}


def asked(**given):
    return parameters.check(EMPTY | given)


def test_the_keys_of_a_sheet_are_enough():
    built = asked(**SHEET, ticket="0012345")
    assert (built.want.name, built.mode, built.ticket, built.record) == ("mail.example.com", "plan", "0012345", None)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({**SHEET, "mode": "aply"}, '"plan" or "apply" is wanted'),
        ({**SHEET, "mode": False}, "a text is wanted, not bool"),
        ({**SHEET, "mode": None}, '"plan" or "apply" is wanted'),
        ({**SHEET, "ticket": 12345}, "give it by -r"),
        ({**SHEET, "canary": "yes"}, "canary: True or False is wanted"),
        ({**SHEET, "thorough": 1}, "thorough: True or False is wanted"),
        ({**SHEET, "server": "other"}, "they are never merged"),
        ({}, "no server is named"),
        ({"server": "no-such-server-anywhere"}, "no server 'no-such-server-anywhere'"),
        ({"name": "x"}, "mail_names: missing"),
        ({**SHEET, "ssh": {"port": 0}}, "parameters: ssh.port"),
    ],
)
def test_what_is_wrong_is_told_with_what_to_do(given, says):
    with pytest.raises(SheetError, match=r"(?s)To do:") as caught:
        asked(**given)
    assert says in str(caught.value)


CELL = 'server: str = None  # the server\nmode: str = "plan"\n'


@pytest.mark.parametrize(
    ("history", "unknown"),
    [
        ([CELL], None),
        ([CELL, '# Parameters\nmode = "apply"\n'], None),
        ([CELL, '# Parameters\nmodus = "apply"\n'], "modus"),
        ([CELL + 'mdoe: str = "apply"\n'], "mdoe"),
        ([CELL + 'mdoe: str = "apply"\n', "session.start()", CELL], None),  # corrected and run once more
        ([CELL, "found = 1"], None),
        ([CELL, "%matplotlib inline"], None),
    ],
)
def test_a_name_that_no_parameter_has_is_told(history, unknown):
    if unknown is None:
        assert parameters.check(EMPTY | SHEET, history).want.name == "mail.example.com"
    else:
        with pytest.raises(SheetError, match=f"unknown parameter: {unknown}"):
            parameters.check(EMPTY | SHEET, history)


def test_a_record_to_run_in_must_be_one_of_this_server(tmp_path):
    with pytest.raises(SheetError, match="no record's folder"):
        asked(**SHEET, record=str(tmp_path))
    (tmp_path / "run.json").write_text('{"server": "other.example.com"}')
    with pytest.raises(SheetError, match=r"record of other\.example\.com, not of mail\.example\.com"):
        asked(**SHEET, record=str(tmp_path))
    (tmp_path / "run.json").write_text('{"server": "mail.example.com"}')
    assert asked(**SHEET, record=str(tmp_path)).record == tmp_path
