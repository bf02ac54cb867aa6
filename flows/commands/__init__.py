"""The command line's verbs, a file for each room; flows/cli.py puts them together."""
