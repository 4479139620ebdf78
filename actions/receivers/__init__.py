"""Telling people, one file for each way to. The half of `actions/` that does I/O."""
