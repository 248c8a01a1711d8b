"""`python -m cocasearch` is the command `cocasearch`."""

from cocasearch.cli.app import main

main()
