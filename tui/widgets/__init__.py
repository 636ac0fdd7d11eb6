"""Parts of screens, a file a widget."""
