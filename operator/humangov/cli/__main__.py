"""`python -m humangov.cli`: the same as `humangov`."""

from humangov.cli.main import main

main()
