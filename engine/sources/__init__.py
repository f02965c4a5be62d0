"""A user's own code on disk: which files a function of theirs runs, what identifies them. Nothing is run here."""

from engine.sources.kept import Program, SourceFile, Sources, collect, read, references

__all__ = ["Program", "SourceFile", "Sources", "collect", "read", "references"]
