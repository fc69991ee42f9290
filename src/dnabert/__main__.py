"""`python -m dnabert`, and with several processes `torchrun -m dnabert`."""

from dnabert.cli import main

main()
