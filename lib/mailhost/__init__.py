"""Knows mail servers: read facts, decide changes, apply them, probe from outside, judge.

It knows nothing of notebooks. Imports point one way, from the bottom of this list to the top:
errors, redact, prompt, sheet, families, finding, known_hosts, ways, host, parse, dovecot, pki, facts, changes,
operations, probes, checks.
"""
