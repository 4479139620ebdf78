"""How good `LearnedNormal` and `request_surge` are: strictly online, one set of shipped defaults, beside baselines."""
