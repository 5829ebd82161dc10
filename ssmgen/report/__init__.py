"""What the command line prints: tables, live progress, highlighted sources."""
