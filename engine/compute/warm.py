"""Imported once by the fork server, so that every worker starts with torch and our code loaded."""

import engine.compute.worker  # noqa: F401
