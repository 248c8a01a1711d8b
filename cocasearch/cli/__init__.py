"""The command line: each command parses, calls one object and prints. The only rung that catches errors and prints.

Modules here import what takes seconds (torch, faiss, lancedb) inside the commands, so that `--help` is quick.
"""
