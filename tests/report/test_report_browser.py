"""The page in a real browser, opened from a file: no request, no error, curves that can be read and zoomed."""

import json
import shutil
import subprocess

import pytest

from vaelab.report import report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-default-apps", "--enable-logging=stderr", "--v=0"),
)

# Acts on the first chart as a person does, and writes what is seen into the page.
ACTING = """
<script>
{
const seen = {}, svg = document.querySelector("#chart-0 svg"), edges = svg.getBoundingClientRect();
const place = (share) => ({clientX: edges.left + share * edges.width, clientY: edges.top + 40});
const at = (share) => ({...place(share), pointerId: 1, bubbles: true});
const ticks = () => [...document.querySelectorAll("#chart-0 .grid text")].map((t) => t.textContent).join(" ");
const reading = () => document.querySelector("#chart-0 output").textContent;
svg.setPointerCapture = () => {};
const box = () => [...document.querySelector("#chart-0 .curves").getAttribute("viewBox").split(" ")].map(Number);
const before = box(), whole = ticks();
svg.dispatchEvent(new PointerEvent("pointermove", at(0.5)));
seen.read = reading();
seen.values = [...document.querySelectorAll("#chart-0 .legend b")].map((b) => b.textContent);
seen.elsewhere = document.querySelector("#chart-1 output").textContent;
svg.dispatchEvent(new PointerEvent("pointerdown", at(0.5)));
svg.dispatchEvent(new PointerEvent("pointermove", at(0.9)));
svg.dispatchEvent(new PointerEvent("pointerup", at(0.9)));
seen.zoomed = box()[2] < before[2] && ticks() !== whole && !document.querySelector("#chart-0 button").hidden;
svg.dispatchEvent(new MouseEvent("dblclick", {bubbles: true}));
seen.again = ticks() === whole && document.querySelector("#chart-0 button").hidden;
seen.moved = Math.max(...box().map((x, i) => Math.abs(x - before[i])));
svg.focus();
for (let i = 0; i < 5; i++) svg.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight", bubbles: true}));
seen.keys = reading();
svg.dispatchEvent(new KeyboardEvent("keydown", {key: "+", bubbles: true}));
seen.keyZoom = ticks() !== whole;
svg.dispatchEvent(new KeyboardEvent("keydown", {key: "Escape", bubbles: true}));
seen.escaped = ticks() === whole && reading() === "";
seen.wide = document.documentElement.scrollWidth <= document.documentElement.clientWidth;
document.body.insertAdjacentHTML("beforeend", "<pre id='seen'>" + JSON.stringify(seen) + "</pre>");
}
</script></body>"""


@pytest.fixture
def page(invent, picture):
    run = invent("a")
    for name in ("generated_samples", "latent_space"):
        picture(run, name)
    return report([run])


def opened(path, tmp_path, *options):
    """The browser's output after it has shown a page."""
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [str(BROWSER), *QUIET, profile, *options, f"file://{path}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)


def complaints(done):
    """What the page wrote to the console."""
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_no_request_and_no_error(page, tmp_path):
    done = opened(page, tmp_path, f"--log-net-log={tmp_path / 'net.json'}", "--dump-dom")
    assert not complaints(done)
    assert 'class="plot live"' in done.stdout, "the script ran"
    asked = json.loads((tmp_path / "net.json").read_text())["events"]
    urls = {str(event.get("params", {}).get("url", "")) for event in asked} - {""}
    ours = {url for url in urls if "google" not in url and "gvt1" not in url}  # what the browser asks for itself
    assert all(url.startswith(("file:", "data:", "chrome", "about:", "devtools")) for url in ours), ours


@pytest.mark.parametrize("width", [1280, 500])
def test_curves_are_read_zoomed_and_reset(page, tmp_path, width):
    acting = tmp_path / "acting.html"
    acting.write_text(page.read_text(encoding="utf-8").replace("</body>", ACTING), encoding="utf-8")
    done = opened(acting, tmp_path, f"--window-size={width},900", "--dump-dom")
    assert not complaints(done)
    seen = json.loads(done.stdout.partition('<pre id="seen">')[2].partition("</pre>")[0])
    assert seen.pop("read") == seen.pop("elsewhere") == "epoch 2.66"
    assert seen.pop("values") == ["66", "65"]
    assert seen.pop("keys") == "epoch 0.6"
    assert seen.pop("moved") < 1e-4, "all is seen again as Python drew it"
    assert all(seen.values()), seen


MEASURING = """
<script>
{
document.body.style.width = "390px";  // narrower than the window of any browser
const box = document.querySelector("#numbers .scroll");
document.body.insertAdjacentHTML("beforeend", "<pre id='seen'>" + box.scrollWidth + " " + box.clientWidth + "</pre>");
}
</script></body>"""


def test_numbers_and_their_intervals_fit_a_phone(invent, tmp_path):
    run = invent("a")
    values, ends = {"elbo": -1116.37, "iwae": -1108.25}, {"elbo": [-1117.51, -1115.25], "iwae": [-1109.18, -1107.26]}
    protocol = {"split": "test", "images": 10000, "samples": 100, "kind": "likelihood"}
    entry = {"values": values, "intervals": ends, "protocol": protocol, "curves": {}, "notes": []}
    (run / "metrics.json").write_text(json.dumps({"metrics": {"likelihood": entry}}))
    text = report([run]).read_text(encoding="utf-8")
    (tmp_path / "narrow.html").write_text(text.replace("</body>", MEASURING), encoding="utf-8")
    done = opened(tmp_path / "narrow.html", tmp_path, "--window-size=500,900", "--dump-dom")
    needed, there = done.stdout.partition('<pre id="seen">')[2].partition("</pre>")[0].split()
    assert int(needed) <= int(there) <= 390
