"""Which task next, on which node, and why: feasible, then order, then rank."""
