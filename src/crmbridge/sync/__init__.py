"""One run of a connection: pull, score, plan, apply, verify."""
