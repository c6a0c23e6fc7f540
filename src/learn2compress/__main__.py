"""`python -m learn2compress` is `l2c`."""

from learn2compress.cli import main

main()
