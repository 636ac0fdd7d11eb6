"""The wire: what Corral's programs say to one another, and the ways to carry it."""
