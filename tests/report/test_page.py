"""The page's script: built from the sources beside it, and drawing in a real browser."""

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fastsim.report.html import render_html
from tests.report import answers, results

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--hide-scrollbars", "--virtual-time-budget=5000", "--enable-logging=stderr"),
]


def test_the_script_was_built_from_these_sources() -> None:
    names = ["package.json", "vite.config.js", "tsconfig.json"]
    names += [f"src/{path.name}" for path in (WEB / "src").iterdir()]
    found = hashlib.sha256()
    for name in sorted(names):
        found.update(f"{name}\n".encode() + (WEB / name).read_bytes())
    first = (ROOT / "fastsim" / "report" / "page.js").read_text().split("\n", 1)[0]
    built = re.findall(r"built from ([0-9a-f]{64})", first)
    assert built == [found.hexdigest()], "run: cd web && npm install && npm run build"


def report() -> str:
    run, live = results.run(), results.run("live")
    run.phases = results.phases()
    return render_html(
        title="everything",
        comparisons=[results.comparison()],
        runs=[run],
        live=[live],
        model=results.service_model(),
        notes=[],
        decisions=[answers.limit(), answers.size(), answers.sweep(), answers.outlook()],
    )


def in_browser(page: Path, width: int, *more: str) -> tuple[str, str]:
    """Return the page as it stands after its script, and what the browser complained of."""
    assert CHROMIUM is not None
    done = subprocess.run(
        [CHROMIUM, *QUIET, f"--user-data-dir={page.parent / str(width)}", *more,
         f"--window-size={width},2000", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("width", [390, 1600])
def test_every_chart_is_drawn_without_a_complaint(tmp_path: Path, width: int) -> None:
    page = tmp_path / "report.html"
    text = report()
    # Wider than the window is what a phone would have to scroll.
    probe = "document.documentElement.dataset.over=document.documentElement.scrollWidth-innerWidth"
    page.write_text(text.replace("</body>", f"<script>{probe}</script></body>"))
    dom, complaints = in_browser(page, width)
    charts = text.count('class="chart"')
    assert f'data-drawn="{charts}"' in dom
    assert complaints == ""
    assert len(re.findall(r"<svg", dom)) == charts
    for place in dom.split('class="chart"')[1:]:
        svg = place.partition("<svg")[2].partition("</svg>")[0]
        assert svg.count("<path") > 3
        assert "NaN" not in svg
    over = re.findall(r'data-over="(-?\d+)"', dom)
    assert over
    assert int(over[0]) <= 0
