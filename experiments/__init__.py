"""From finished runs to tables, figures and the report: `python -m experiments --help`."""
