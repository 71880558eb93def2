"""Take a server to a Dovecot that refuses insecure logins, and keep the record that proves it."""

__version__ = "0.1.0"
