"""The coordinator: owns the cluster's state, decides, commits, and only then tells."""
