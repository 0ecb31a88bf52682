"""Policies that ship with the project, each with the scripts that make it."""
