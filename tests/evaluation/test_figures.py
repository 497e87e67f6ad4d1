"""The figures that a model and its data allow, from models without a closed form too."""

from types import SimpleNamespace

import pytest
import torch
from matplotlib.figure import Figure
from torch.distributions import Independent, Normal

from vaelab import data
from vaelab.errors import UsageError
from vaelab.evaluation import figures as gallery
from vaelab.figures.needs import NEEDS
from vaelab.recipe.recipe import Recipe
from vaelab.registry import names
from vaelab.registry.schema import build
from vaelab.runs.results import MetricResult, Results

ROWS = [
    {
        "kind": "step",
        "step": 1,
        "epoch": 0.5,
        "split": "train",
        "loss": 3.0,
        "reconstruction": 2.0,
        "kl": 1.0,
        "beta": 1.0,
    },
    {
        "kind": "epoch",
        "step": 2,
        "epoch": 1,
        "split": "train",
        "loss": 3.0,
        "reconstruction": 2.0,
        "kl": 1.0,
        "beta": 1.0,
    },
    {
        "kind": "epoch",
        "step": 2,
        "epoch": 1,
        "split": "valid",
        "loss": None,
        "reconstruction": 2.0,
        "kl": 1.0,
        "beta": 1.0,
    },
]
ALWAYS = {"generated_samples", "reconstructions", "latent_space", "aggregate_posterior", "traversals"}


def model_of(x_shape: tuple[int, int, int], latent_dim: int, classes: int = 0, **parts):
    sections = {"data": "digits", "objective": "elbo", "train": {"epochs": 1}}
    model = {"latent_dim": latent_dim, "backbone": {"kind": "mlp", "width": 8}, **parts}
    built = Recipe.of(sections | {"model": model}).build_model(x_shape, classes)
    return built.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", train_size=40, valid_size=10, test_size=30)


def test_what_is_allowed_depends_on_model_data_and_log(digits):
    assert set(gallery.figures(model_of((1, 8, 8), 3), digits, [])) == ALWAYS | {"interpolations"}
    full = gallery.figures(model_of((1, 8, 8), 2), digits, ROWS)
    assert set(full) == ALWAYS | {"interpolations", "manifold", "training_losses", "kl_ratio"}
    one = data.load("digits", train_size=40, valid_size=1, test_size=1)
    assert set(gallery.figures(model_of((1, 8, 8), 3), one, [])) == ALWAYS


@pytest.mark.parametrize("latent_dim", [1, 2, 12])
@pytest.mark.parametrize("kind", ["digits", "rgb", "one"])
def test_every_figure_that_is_allowed_can_be_drawn(latent_dim, kind, digits, monkeypatch):
    monkeypatch.setitem(gallery.SHOWN, "side", 3)
    monkeypatch.setitem(gallery.SHOWN, "dimensions", 2)
    monkeypatch.setitem(gallery.SHOWN, "samples", 5)
    chosen = {
        "digits": lambda: digits,
        "rgb": lambda: data.load("shapes", count=30, size=6, channels=3),
        "one": lambda: data.load("digits", train_size=9, valid_size=1, test_size=1),
    }[kind]()
    for name, draw in gallery.figures(model_of(chosen.x_shape, latent_dim), chosen, ROWS).items():
        assert isinstance(draw(), Figure), name


def test_drawing_is_repeatable_and_needs_no_closed_form(digits, monkeypatch):
    model = model_of((1, 8, 8), 3)
    seen = []
    monkeypatch.setattr(gallery, "generated_samples", lambda images, title: seen.append(images))
    gallery.samples(model)
    torch.rand(3)
    gallery.samples(model)
    assert torch.equal(*seen)
    monkeypatch.setattr(gallery, "kl_per_dimension", lambda q, p: None)
    assert isinstance(gallery.walks(model, digits.test), Figure)


@pytest.mark.parametrize("classes", [0, 10])
def test_distances_of_the_figure_are_those_of_the_metric(digits, classes):
    model = model_of((1, 8, 8), 8, classes, **({"condition": ["encoder", "decoder"]} if classes else {}))
    curve = build("metric", "aggregate", "metric", model=model, split=digits.test).curves["aggregate_ks_by_dimension"]
    panels = gallery.aggregate(model, digits.test).axes[: len(curve)]
    told = {axes.get_title("left"): axes.get_title("right") for axes in panels}
    assert told == {f"z{d:g}": f"KS {ks:.2f}" for d, ks in curve}


def test_a_figure_that_is_not_allowed_says_what_it_needs(digits, tmp_path):
    allowed = gallery.figures(model_of((1, 8, 8), 8), digits, [])
    missing = [name for name in names("figure") if name in NEEDS and name not in allowed]
    assert "manifold" in missing and "stages" in missing
    for name in missing:
        with pytest.raises(UsageError, match=f"figure '{name}' cannot be drawn of this run; it needs "):
            list(gallery.draw(allowed, tmp_path, [name]))
    assert "2 latent dimensions" in NEEDS["manifold"]


def test_files_are_drawn_one_by_one_and_only_those_asked_for(tmp_path):
    drawn = []
    blank = SimpleNamespace(savefig=lambda path, **_: path.write_text(""), dpi=100)
    allowed = {name: lambda name=name: drawn.append(name) or blank for name in ("a", "b")}
    assert list(gallery.draw(allowed, tmp_path)) == [tmp_path / "a.png", tmp_path / "b.png"]
    assert list(gallery.draw(allowed, tmp_path, ["b"])) == [tmp_path / "b.png"]
    assert drawn == ["a", "b", "b"]
    with pytest.raises(UsageError, match="figure 'c' cannot be drawn of this run; known: a, b"):
        list(gallery.draw(allowed, tmp_path, ["a", "c"]))
    assert drawn == ["a", "b", "b"]  # nothing is drawn before all names are known


def test_the_bound_converges_where_it_was_measured(digits):
    found = MetricResult(values={}, protocol={}, curves={"iwae": [(1, -50.0), (2, -49.0), (5, -48.5)]})
    results = Results(metrics={"likelihood": found})
    allowed = gallery.figures(model_of((1, 8, 8), 3), digits, [], results)
    (axes,) = allowed["convergence"]().axes
    assert axes.lines[0].get_xydata().tolist() == [list(point) for point in found.curves["iwae"]]
    assert axes.get_xscale() == "log" and axes.get_xlabel() == "draws per image"


VAMP, EXEMPLAR = {"kind": "vamp", "components": 12}, {"kind": "exemplar", "components": 12, "per_step": 12}


@pytest.mark.parametrize("prior", [VAMP, EXEMPLAR], ids=["vamp", "exemplar"])
@pytest.mark.parametrize("posterior", ["gaussian", "flow"])
def test_a_mixture_of_posteriors_shows_what_it_is_made_of(digits, prior, posterior):
    model = model_of((1, 8, 8), 2, prior=prior, posterior=posterior)
    allowed = gallery.figures(model, digits, [])
    assert set(allowed) == ALWAYS | {"interpolations", "manifold", "pseudo_inputs", "prior_samples"}
    assert all(isinstance(allowed[name](), Figure) for name in ("pseudo_inputs", "prior_samples", "traversals"))


@pytest.mark.parametrize("scale", [0.01, 1.0, 50.0])
def test_traversals_move_as_far_as_codes_lie_apart(digits, scale, monkeypatch):
    """Whatever the scale and place of the latent, which a learned prior leaves free."""
    model, decoded = model_of((1, 8, 8), 2), []
    q = Independent(Normal(torch.full((len(digits.test), 2), 7.0 * scale), scale), 1)
    monkeypatch.setattr(model, "q_z", lambda x, y=None: q)
    monkeypatch.setattr(gallery, "_decoded", lambda model, z, y: decoded.append(z) or torch.zeros(2, 11, 1, 8, 8))
    gallery.walks(model, digits.test)
    moved = torch.stack([decoded[0][row, :, dimension] for row, dimension in ((0, 0), (0, 1), (1, 0), (1, 1))])
    farthest = moved[(moved.amax(1) - moved.amin(1)).argsort(descending=True)[:2]]
    n = 8 * len(digits.test)
    wanted = (7 + torch.linspace(-3, 3, 11)) * scale
    assert (farthest - wanted).abs().max() < 5 * scale * (1 / n + 9 / (2 * n)) ** 0.5


def test_every_figure_of_a_conditional_model(digits):
    model = model_of((1, 8, 8), 2, 10, prior=VAMP, condition=["encoder", "decoder", "prior"])
    allowed = gallery.figures(model, digits, [])
    assert set(allowed) == ALWAYS | {"interpolations", "pseudo_inputs", "prior_samples", "classes"}
    assert all(isinstance(figure(), Figure) for figure in allowed.values())


def test_shares_are_those_of_the_likeliest_component(digits, monkeypatch):
    """Of two pseudo-inputs, one far from all latents: it never wins."""
    model = model_of((1, 8, 8), 2, prior={"kind": "mixture", "components": 2})
    model.prior.mean.data = torch.tensor([[1e3, 0.0], [0.0, 0.0]])
    model.prior.pseudo_inputs = torch.zeros(2, 1, 8, 8)
    shares = []
    monkeypatch.setattr(gallery, "pseudo_inputs", lambda images, share, **_: shares.append(share.tolist()))
    gallery.inputs(model, digits.test)
    assert shares == [[0.0, 1.0]]


def test_the_validation_loss_is_called_what_it_is(digits):
    model = model_of((1, 8, 8), 3)
    assert _loss(gallery.figures(model, digits, ROWS)) == "validation −bound"
    assert _loss(gallery.figures(model, digits, ROWS, bound="−ELBO")) == "validation −ELBO"
    model.likelihood.is_likelihood = False
    assert _loss(gallery.figures(model, digits, ROWS)) == "validation loss at β = 1"


def _loss(allowed):
    return allowed["training_losses"]().axes[0].get_title(loc="left").partition(", ")[2]
