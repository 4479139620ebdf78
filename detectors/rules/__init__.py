"""One file a rule. A file here that holds a subclass of `detectors.rule.Rule` is a rule: nothing else to register."""
