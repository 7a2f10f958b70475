"""From traces to a fitted ServiceModel.

Import from the modules; nothing is loaded here, because scipy is slow to import.
"""
