"""What runs in threads: watching studies, starting them, exporting. No widgets."""
