"""A client of POP3, IMAP and TLS, from where the runbook runs: frozen results, or why it could not run.

Probes see what users see. They judge nothing; the checks of the same names do.
"""
