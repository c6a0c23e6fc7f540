"""The web folder, as its README says it is used: LiteRT.js from npm, a static server, a real browser."""

from __future__ import annotations

import functools
import http.server
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

import learn2compress
from learn2compress.core.app_kinds import APP_KINDS
from learn2compress.measure.graph import describe

ROOT = Path(__file__).parents[2]
PHOTOS = sorted((ROOT / "examples" / "clothing" / "photos" / "test").glob("*/*.jpg"))[::62]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
# An npm package with a headless Chromium in it, for where none is installed.
BROWSER_PACKAGE = "@sparticuz/chromium@153"
UNPACK = "import('@sparticuz/chromium').then(async (found) => console.log(await found.default.executablePath()))"
# Loads the folder's own page once for each photo, and hands over what it shows.
CHECK = """<!doctype html><body><script>
const photos = PHOTOS;
const shown = [];
function next() {
  if (shown.length == photos.length) {
    return fetch('/shown', {method: 'POST', body: JSON.stringify(shown)});
  }
  const frame = document.createElement('iframe');
  frame.src = `index.html?photo=${photos[shown.length]}`;
  document.body.replaceChildren(frame);
  const timer = setInterval(() => {
    const page = frame.contentDocument;
    const state = page?.getElementById('state')?.textContent ?? '';
    if (!/^(Done|It did not work)/.test(state)) return;
    clearInterval(timer);
    const rows = [...page.querySelectorAll('#results tr')];
    shown.push({state, rows: rows.map((row) => [row.cells[0].textContent, Number(row.dataset.probability)])});
    next();
  }, 50);
}
next();
</script>
"""


# Stand-ins for LiteRT.js and for what of the browser the module calls: the output is what it is told.
FAKE_LITERT = """
export const loadLiteRt = async () => {};
export class Tensor { delete() {} }
export const loadAndCompile = async () => ({
  run: async () => [{data: async () => globalThis.stored, delete() {}}],
});
"""
# Then the photo is classified, by the module itself or by the lines for an app.
BROWSER = """
import {readFileSync} from 'node:fs';
globalThis.stored = STORED;
globalThis.fetch = async (address) => ({text: async () => readFileSync(address, 'utf8')});
globalThis.OffscreenCanvas = class {
  constructor(width, height) { this.size = width * height; }
  getContext() {
    return {
      drawImage(image, ...place) { globalThis.drawn = place; },
      getImageData: () => ({data: new Uint8ClampedArray(4 * this.size)}),
    };
  }
};
const image = {width: 20, height: 30};
"""
CLASSIFY = """
const {Classifier} = await import("./classifier.js");
const found = await (await Classifier.create()).classify(image);
const labelled = found.map(({label, probability}) => [label, probability]);
console.log(JSON.stringify({labelled, drawn: globalThis.drawn}));
"""


def npm(folder: Path, *arguments: str) -> None:
    """Runs npm, or skips where there is none or it can't be reached."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("there is no npm here, which the page's library comes from")
    command = ["npm", *arguments, "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        pytest.skip(f"npm {' '.join(arguments)} failed: {done.stderr.strip()[-200:]}")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of a Chromium: one that is installed, else one that comes in an npm package."""
    for name in (os.environ.get("CHROMIUM", ""), *BROWSERS):
        if name and (path := shutil.which(name)):
            return path
    folder = tmp_path_factory.mktemp("browser")
    npm(folder, "install", BROWSER_PACKAGE)
    environment = {**os.environ, "TMPDIR": str(folder)}
    done = subprocess.run(
        ["node", "-e", UNPACK], cwd=folder, capture_output=True, text=True, check=False, env=environment
    )
    path = done.stdout.strip()
    if not path or subprocess.run([path, "--version"], capture_output=True, check=False).returncode:
        pytest.skip(f"no browser is installed, and that of {BROWSER_PACKAGE} does not start: {done.stderr[-200:]}")
    return path


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, list[Any], threading.Event]]:
    """The folder at an address; what a page posts is put into the list."""
    posted: list[Any] = []
    came = threading.Event()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            came.set()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", posted, came
    finally:
        server.shutdown()
        server.server_close()


def shown_by(browser: str, folder: Path, photos: list[str], profile: Path) -> list[dict[str, Any]]:
    """What the folder's page shows for photos that lie in the folder."""
    (folder / "check.html").write_text(CHECK.replace("PHOTOS", json.dumps(photos)))
    with served(folder) as (address, posted, came):
        flags = ["--headless", "--no-sandbox", "--no-zygote", "--disable-gpu", "--remote-debugging-port=0"]
        command = [browser, *flags, f"--user-data-dir={profile}", f"{address}/check.html"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            assert came.wait(180), "the page showed nothing"
        finally:
            process.terminate()
            process.wait()
    return posted[0]


def probabilities(path: Path, pixels: np.ndarray) -> np.ndarray:
    """LiteRT's, in Python."""
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    image_in, out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    interpreter.set_tensor(image_in["index"], pixels[None])
    interpreter.invoke()
    stored = interpreter.get_tensor(out["index"])[0]
    scale, zero_point = out["quantization"]
    return (stored.astype(np.float32) - zero_point) * scale if scale else stored


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


@pytest.mark.slow
def test_the_page_says_in_chromium_what_litert_says_in_python(clothing: Path, tmp_path: Path, browser: str) -> None:
    folder = learn2compress.export(clothing, "small", "web", tmp_path / "app")
    npm(folder, "install")
    photos = []
    for photo in PHOTOS:  # as PNG: JPEG decoders differ by a shade
        photos.append(f"{photo.parent.name}.png")
        Image.open(photo).convert("RGB").save(folder / photos[-1])
    answers = shown_by(browser, folder, photos, tmp_path / "profile")
    labels = (folder / "labels.txt").read_text().splitlines()
    for photo, answer in zip(photos, answers, strict=True):
        assert answer["state"] == "Done."
        expected = probabilities(folder / "small.tflite", np.asarray(Image.open(folder / photo)))
        found = dict(answer["rows"])
        np.testing.assert_allclose([found[label] for label in labels], expected, atol=1.01 / 256)
        assert answer["rows"][0][1] == max(found.values())
        assert expected[labels.index(answer["rows"][0][0])] >= expected.max() - 1.01 / 256


@pytest.mark.slow
@pytest.mark.parametrize("family", ["tiny", "logits"])
def test_the_page_normalises_for_a_float_member_and_crops_to_the_centre(
    family: str, tmp_path: Path, browser: str, request: pytest.FixtureRequest
) -> None:
    folder = learn2compress.export(request.getfixturevalue(family), "float32", "web", tmp_path / "app")
    npm(folder, "install")
    pixels = np.random.default_rng(0).integers(0, 256, (10, 12, 3), np.uint8)
    wide = np.concatenate([np.zeros((10, 20, 3), np.uint8), pixels, np.zeros((10, 20, 3), np.uint8)], axis=1)
    Image.fromarray(wide).save(folder / "wide.png")
    (answer,) = shown_by(browser, folder, ["wide.png"], tmp_path / "profile")
    assert answer["state"] == "Done."
    expected = probabilities(folder / "float32.tflite", ((pixels - 127.5) / 127.5).astype(np.float32))
    if family == "logits":
        expected = softmax(expected)
    labels = (folder / "labels.txt").read_text().splitlines()
    np.testing.assert_allclose([dict(answer["rows"])[label] for label in labels], expected, atol=1e-4)


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here")
@pytest.mark.parametrize(
    ("family", "member"), [("clothing", "small"), ("tiny", "float32"), ("logits", "float32"), ("logits", "uint8")]
)
def test_the_script_is_valid_javascript(
    family: str, member: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = learn2compress.export(request.getfixturevalue(family), member, "web", tmp_path / "app")
    subprocess.run(["node", "--check", "classifier.js"], cwd=folder, check=True)
    assert "@litertjs/core" in json.loads((folder / "package.json").read_text())["dependencies"]


def said(folder: Path, stored: str, script: str) -> str:
    """What a script prints that classifies a photo of 20 x 30, where LiteRT gives the array."""
    library = folder / "node_modules" / "@litertjs" / "core"
    library.mkdir(parents=True)
    (library / "package.json").write_text('{"name": "@litertjs/core", "type": "module", "exports": "./index.js"}')
    (library / "index.js").write_text(FAKE_LITERT)
    (folder / "check.mjs").write_text(BROWSER.replace("STORED", stored) + script)
    done = subprocess.run(["node", "check.mjs"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def classified(folder: Path, stored: str) -> tuple[dict[str, float], list[float]]:
    """What the module says, in its order, and what of the photo it drew."""
    found = json.loads(said(folder, stored, CLASSIFY))
    return dict(found["labelled"]), found["drawn"]


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here")
@pytest.mark.parametrize(("family", "looked_at"), [("clothing", [0, 5, 20, 20]), ("squeezed", [0, 0, 20, 30])])
def test_the_script_frames_photos_as_the_accuracy_was_measured(
    family: str, looked_at: list[float], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = learn2compress.export(request.getfixturevalue(family), "small", "web", tmp_path / "app")
    _, drawn = classified(folder, "new Uint8Array(10)")
    assert drawn == pytest.approx([*looked_at, 0, 0, 96, 96])


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here")
@pytest.mark.parametrize(
    ("family", "member", "stored", "is_logits"),
    [
        ("tiny", "float32", (0.25, 0.5, 0.125), False),
        ("logits", "float32", (1000.0, 1000.5, 1001.5), True),
        ("clothing", "small", (10, 20, 30, 40, 50, 60, 2, 4, 6, 8), False),
        ("logits", "uint8", (10, 20, 30, 40, 50, 60, 255, 254, 6, 8), True),
    ],
)
def test_the_script_makes_probabilities_of_logits_only(
    family: str,
    member: str,
    stored: tuple[float, ...],
    is_logits: bool,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    folder = learn2compress.export(request.getfixturevalue(family), member, "web", tmp_path / "app")
    array = "Float32Array" if member == "float32" else "Uint8Array"
    found, _ = classified(folder, f"new {array}({json.dumps(stored)})")
    scores = np.array(stored, np.float64)
    if member != "float32":
        (out,) = describe(folder / f"{member}.tflite").outputs
        scores = (scores - out.zero_point) * out.scale
    expected = softmax(scores) if is_logits else scores
    labels = (folder / "labels.txt").read_text().splitlines()
    np.testing.assert_allclose([found[label] for label in labels], expected, rtol=1e-6)
    assert list(found.values()) == sorted(found.values(), reverse=True)


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here")
def test_the_lines_for_an_app_name_the_most_probable_label(clothing: Path, tmp_path: Path) -> None:
    folder = learn2compress.export(clothing, "small", "web", tmp_path / "app")
    label, probability = said(
        folder, "new Uint8Array([3, 2, 64, 1, 0, 0, 0, 0, 0, 0])", APP_KINDS["web"].call
    ).split()
    assert label == (folder / "labels.txt").read_text().splitlines()[2]
    assert float(probability) == 64 / 256
