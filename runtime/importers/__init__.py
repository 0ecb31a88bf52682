"""Policies from elsewhere: other people's files in, an ONNX model and its card out, verified.

Each importer reads what a framework wrote, asks for what that does not say, refuses what a card cannot express, and
compares our path (fill, engine, decoder, meaning) with the framework's own before it leaves anything behind.
"""
