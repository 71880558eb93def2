"""Text to rows: one module a command, pure, with jc where its parser holds on real output."""
