"""Images decoded ahead: in turn, and no further than memory allows."""

import pytest
from PIL import Image

from vaelab.data.encoded import ahead, decode
from vaelab.data.encoded.files import in_folder


@pytest.mark.parametrize("limits", [{"PIXELS": 250}, {"AHEAD": 2}, {"PIXELS": 50}])
def test_images_are_decoded_ahead_as_far_as_they_take_little_memory(tmp_path, monkeypatch, limits):
    """At work or not yet taken are two of 10 × 10, or one where that alone is above the limit, in the order asked."""
    for name, value in {"SMALL": 0, **limits}.items():
        monkeypatch.setattr(ahead, name, value)
    begun, found, most = [], [], 0

    def work(file):
        begun.append(file)
        return decode.read_pixels(file)[:, 0, 0]

    for number in range(20):
        Image.new("L", (10, 10), number).save(tmp_path / f"{number:02}.png")
    for result in ahead.decode_all(in_folder(tmp_path), work):
        most = max(most, len(begun) - len(found))
        found.append(result.item())
    assert found == list(range(20))
    assert most <= (1 if limits.get("PIXELS") == 50 else 2)
