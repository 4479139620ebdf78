"""Carrying commands out, one file for each system that can be told. The half of `actions/` that does I/O."""
