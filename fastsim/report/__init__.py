"""Turn results into something to read: plain text, JSON, one offline HTML file.

Takes ``Run``, ``Comparison`` and ``ServiceModel`` and returns strings; it computes no
result of its own beyond sums, shares and rankings, and writes no file.
"""

from fastsim.report.html import render_html
from fastsim.report.json import to_json
from fastsim.report.text import render_comparison, render_run

__all__ = ["render_comparison", "render_html", "render_run", "to_json"]
