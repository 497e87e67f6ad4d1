"""The house style keeps to itself, and files are written whole or not at all."""

import os
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import vaelab.figures  # noqa: F401
from torture.fork import Fork
from vaelab.errors import VaelabError
from vaelab.figures.generated_samples import generated_samples
from vaelab.figures.latent_space import latent_space
from vaelab.figures.style import DPI, FONT, save, signed, text_width
from vaelab.figures.training_losses import training_losses
from vaelab.io.files import write_whole
from vaelab.registry import names, part
from vaelab.registry.schema import options

ROWS = [{"epoch": 1, "loss": 3.0}, {"epoch": 2, "loss": 2.0}]
IMAGES = np.zeros((4, 1, 8, 8))


def test_every_figure_is_registered_with_its_options():
    known = ["generated_samples", "interpolations", "kl_ratio", "latent_space", "manifold", "reconstructions"]
    assert set(names("figure")) >= {*known, "training_losses", "traversals"}
    assert all("title" in options(part("figure", name)) for name in names("figure"))


def test_the_users_settings_stay_and_do_not_leak_in(tmp_path):
    usual = save(training_losses(ROWS), tmp_path / "usual.png").read_bytes()
    with matplotlib.rc_context({"font.family": "monospace", "axes.facecolor": "black", "lines.linewidth": 9}):
        before = dict(matplotlib.rcParams)
        figure = training_losses(ROWS)
        latent_space(np.zeros((3, 2)), [0, 1, 2])
        save(figure, tmp_path / "other.png")
        assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "other.png").read_bytes() == usual


def test_no_global_figure_and_no_pyplot():
    code = "import sys, vaelab.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_save_writes_a_png_of_the_figures_size(tmp_path):
    figure = generated_samples(IMAGES)
    path = save(figure, tmp_path / "new" / "samples.png")
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.size == tuple(int(n) for n in figure.bbox.size)
        assert round(image.info["dpi"][0]) == DPI
    assert [p.name for p in path.parent.iterdir()] == ["samples.png"]


def test_a_failed_save_keeps_the_last_good_file(tmp_path, monkeypatch):
    path = save(generated_samples(IMAGES), tmp_path / "samples.png")
    good = path.read_bytes()

    def full_disk(self, target, **_):
        target.write_bytes(b"half a pict")
        raise OSError("no space left on device")

    monkeypatch.setattr(Figure, "savefig", full_disk)
    with pytest.raises(VaelabError, match="no space left on device; the one before is intact"):
        save(generated_samples(IMAGES), path)
    assert path.read_bytes() == good
    assert [p.name for p in tmp_path.iterdir()] == ["samples.png"]


def test_what_a_killed_writer_left_goes_with_the_next_picture(tmp_path):
    def killed(target):
        target.write_bytes(b"half a pict")
        os._exit(9)

    child = Fork(lambda: write_whole(tmp_path / "samples.png", killed))
    assert child.wait(60) == 9 and len(list(tmp_path.iterdir())) == 1
    save(generated_samples(IMAGES), tmp_path / "other.png")
    assert [p.name for p in tmp_path.iterdir()] == ["other.png"]


def test_text_helpers():
    assert signed(-1.5) == "−1.5"
    assert text_width([], 8) == 0
    assert text_width(["mm"], 8) > text_width(["ii"], 8) > 0


def test_the_font_does_not_depend_on_the_machine():
    title = generated_samples(IMAGES).texts[0]
    assert title.get_fontfamily() == [FONT]
