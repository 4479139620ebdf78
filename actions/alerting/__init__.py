"""Who is told what, and when: matchers, routes, groups, inhibition, silences. Pure: time is a parameter."""
