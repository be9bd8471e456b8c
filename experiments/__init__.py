"""From finished runs to tables, figures and the pages that show them: `python -m experiments --help`."""
