"""What the console shows, a file a screen."""
