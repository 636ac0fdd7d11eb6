"""The main screens of the console, and the digit that leads to each."""

from __future__ import annotations

MODE_DIGITS = {
    "pulse": "1",
    "nodes": "2",
    "jobs": "3",
    "logs": "4",
    "charts": "5",
    "scheduler": "6",
    "events": "7",
    "storage": "8",
    "tools": "9",
    "users": "0",
}
"""By name, in the order of the keyboard."""
