"""`python -m vaelab`, which torchrun needs."""

from vaelab.cli import main

main()
