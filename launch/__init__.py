"""Settings that ship with the project: robot files and policies."""
