"""Carries a study out: starts its engine, hands jobs to an executor, replays."""
