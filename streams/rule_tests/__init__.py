"""`tidegate test rules`: unit tests for rules, in YAML. Events in, findings and commands out, by the core itself."""
