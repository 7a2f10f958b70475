"""Part of FastSim."""
