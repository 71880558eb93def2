"""Where probes go: other names of a server are asked for at one address, and told apart."""

from __future__ import annotations

from mailhost.probes.target import by_other_names, targets

NAME, OTHER = "mail.example.test", "imap.example.test"


def test_another_name_is_asked_for_at_the_first_address_on_every_port():
    aimed = targets(NAME, ("192.0.2.1", "2001:db8::1"))
    more = by_other_names(aimed, [OTHER])
    assert [(t.service, t.address, t.name) for t in more] == [
        (service, "192.0.2.1", OTHER) for service in ("pop3", "imap", "pop3s", "imaps")
    ]
    assert len({str(target) for target in (*aimed, *more)}) == 12
    assert str(more[3]) == "imaps 192.0.2.1:993 as imap.example.test"


def test_with_one_name_there_is_nothing_more():
    assert by_other_names(targets(NAME, ("192.0.2.1",)), []) == ()
    assert by_other_names((), [OTHER]) == ()
