"""Measurements: speed, cost and fidelity, apart from the tests."""
