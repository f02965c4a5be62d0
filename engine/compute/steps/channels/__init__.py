"""`prune.channels`: whole channels removed from coupled layers."""
