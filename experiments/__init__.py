"""From finished runs to tables, figures and pages: `python -m experiments --help`."""
