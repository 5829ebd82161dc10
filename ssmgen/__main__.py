"""`python -m ssmgen`."""

from ssmgen.cli import main

if __name__ == "__main__":
    main()
