"""Messages into rows and text: pure, shared by the command and the console."""
