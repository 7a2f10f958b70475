"""The main job in one command: record, calibrate, predict, measure, compare."""
