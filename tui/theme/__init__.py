"""How the console looks: its style sheet, and what it does without colours or without Unicode."""
