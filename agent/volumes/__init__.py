"""Volumes of this node: folders that outlive tasks, in pools."""
