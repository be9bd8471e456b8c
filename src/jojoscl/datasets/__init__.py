"""Files, public sets, simulation and corruption."""
