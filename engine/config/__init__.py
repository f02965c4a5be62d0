"""What a user prefers: settings that belong to nobody's study, in files of their own."""
