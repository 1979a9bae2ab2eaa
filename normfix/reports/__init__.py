"""How a report is shown: one file per output format."""
