"""The command line: ``main.py`` finds a command in a table, every other file is one command."""
