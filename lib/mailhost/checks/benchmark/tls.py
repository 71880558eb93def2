"""Chapter 2: TLS. Clients see it from outside, so the handshakes of other checks are the measure."""

from __future__ import annotations

from mailhost.checks.benchmark.model import Entry

TITLE = "TLS"

ENTRIES = (
    Entry(
        "2.1",
        title="TLS is required, with a recent version",
        severity="high",
        why="old versions are broken, and an optional TLS is left out by whoever sits between",
        measured="handshakes on every port from outside, with old versions too; the effective settings",
        remedy="Require TLS 1.2 or newer.",
        spelled={
            "2.2": "`ssl = required`, `ssl_protocols = TLSv1.2`.",
            "2.3": "`ssl = required`, `ssl_min_protocol = TLSv1.2`.",
            "2.4": "`ssl = required`, `ssl_min_protocol = TLSv1.2`.",
        },
        source="RFC 8996; RFC 8997; Mozilla Server Side TLS, intermediate; NCSC-NL TLS guidelines",
        measured_by=("tls-handshake", "tls-version", "tls-old-versions", "settings-effective"),
    ),
    Entry(
        "2.2",
        title="The certificate served is the one intended, and valid",
        severity="critical",
        why="mail programs warn or refuse, and people learn to click warnings away",
        measured="the certificate as sent on every port and address: fingerprint, names, dates, verification",
        remedy="Install the sheet's certificate with section 05_secure.",
        source="RFC 7817; RFC 5280",
        measured_by=("served-certificate", "served-names", "served-dates", "served-verified"),
    ),
    Entry(
        "2.3",
        title="The chain is sent whole, and stands where it is sent from",
        severity="high",
        why="clients that do not know the intermediates refuse the certificate",
        measured="the chain as sent; where the configuration has it",
        remedy="Leaf and intermediates go into one file; `ssl_ca` is for clients' certificates only.",
        spelled={
            "2.2": "`ssl_cert = </path/fullchain.pem`.",
            "2.3": "`ssl_cert = </path/fullchain.pem`.",
            "2.4": "`ssl_server_cert_file = /path/fullchain.pem`.",
        },
        source="RFC 8446 section 4.4.2; Dovecot manual, SSL configuration, chained certificates",
        measured_by=("served-chain", "guide-chain-in-ssl-ca"),
    ),
    Entry(
        "2.4",
        title="Only root reads the private key, and it is strong",
        severity="high",
        why="whoever reads or computes the key poses as the server",
        measured="mode and owner of the file; size and signature of the certificate",
        remedy="0600 root:root; Dovecot reads it as root.",
        source="Dovecot manual, SSL configuration; Mozilla Server Side TLS; NCSC-NL TLS guidelines",
        measured_by=("key-file-protected", "certificate-strength", "served-strength"),
    ),
    Entry(
        "2.5",
        title="Weak ciphers and weak key exchange are not offered",
        severity="high",
        why="what is recorded today can be read once one of them is broken",
        measured="every cipher suite and group that the server takes from hellos made by hand; on Red Hat the "
        "system's policy",
        remedy="Leave `ssl_cipher_list` to the distribution, and on Red Hat's family to the system's policy.",
        spelled={
            "2.2": "`ssl_cipher_list = EECDH+AESGCM:EECDH+AES:!aNULL`, since its own list offers RC4 and 3DES.",
            "2.3": "Without `ssl_dh`, or with a file of 2048 bits or more.",
            "2.4": "Without `ssl_server_dh_file`, or with a file of 2048 bits or more.",
        },
        source="Mozilla Server Side TLS, intermediate; NCSC-NL TLS guidelines; RFC 9325",
        measured_by=("tls-ciphers", "tls-key-exchange", "crypto-policy"),
    ),
    Entry(
        "2.6",
        title="Nothing said before STARTTLS counts after it",
        severity="high",
        why="who sits between puts commands into the encrypted session, and reads mail or passwords",
        measured="a command in the same packet as STARTTLS, and a login begun before it",
        remedy="Update Dovecot: 2.3.14.1 and later, or the distribution's fix.",
        source="CVE-2021-33515; RFC 9051 section 6.2.1",
        measured_by=("starttls-injection", "starttls-state"),
    ),
)
