"""The figures that a model and its data allow, from models without a closed form too."""

import pytest
import torch
from matplotlib.figure import Figure
from torch.distributions import Independent, Normal

from vaelab import data
from vaelab.errors import UsageError
from vaelab.evaluation import figures as gallery
from vaelab.evaluation.figures import draw
from vaelab.evaluation.stages import draw_epoch
from vaelab.figures import generated_samples as samples
from vaelab.figures import manifold, pseudo_inputs, traversals
from vaelab.figures.about import about_figure
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


def known(model, data, rows=(), **more):
    """All that a run may know."""
    found = {
        "model": model,
        "data": data,
        "split": data and data.test,
        "rows": list(rows),
        "results": None,
        "grown": {},
    }
    return found | {"results": None, "grown": {}} | more


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """drawn(model, data, rows) draws without writing: the figures by name."""

    def draw_all(*args, only=(), **more):
        figures = {}
        monkeypatch.setattr(gallery, "save", lambda figure, path: figures.update({path.stem: figure}))
        list(draw(tmp_path, only, **known(*args, **more)))
        return figures

    return draw_all


def test_what_is_allowed_depends_on_model_data_and_log(digits, drawn):
    assert set(drawn(model_of((1, 8, 8), 3), digits)) == ALWAYS | {"interpolations"}
    full = drawn(model_of((1, 8, 8), 2), digits, ROWS)
    assert set(full) == ALWAYS | {"interpolations", "manifold", "training_losses", "kl_ratio"}
    one = data.load("digits", train_size=40, valid_size=1, test_size=1)
    assert set(drawn(model_of((1, 8, 8), 3), one)) == ALWAYS
    assert set(drawn(None, None, ROWS)) == {"training_losses", "kl_ratio"}


@pytest.mark.parametrize("latent_dim", [1, 2, 12])
@pytest.mark.parametrize("kind", ["digits", "rgb", "one"])
def test_every_figure_that_is_allowed_can_be_drawn(latent_dim, kind, digits, monkeypatch, drawn):
    monkeypatch.setattr(manifold, "SIDE", 3)
    monkeypatch.setattr(traversals, "SHOWN", 2)
    chosen = {
        "digits": lambda: digits,
        "rgb": lambda: data.load("shapes", count=30, size=6, channels=3),
        "one": lambda: data.load("digits", train_size=9, valid_size=1, test_size=1),
    }[kind]()
    figures = drawn(model_of(chosen.x_shape, latent_dim), chosen, ROWS)
    assert set(figures) >= ALWAYS and all(isinstance(figure, Figure) for figure in figures.values())


def test_drawing_is_repeatable_and_needs_no_closed_form(digits, monkeypatch):
    model = model_of((1, 8, 8), 3)
    seen = []
    monkeypatch.setattr(samples, "generated_samples", lambda images, title: seen.append(images))
    samples.samples(model)
    torch.rand(3)
    samples.samples(model)
    assert torch.equal(*seen)
    monkeypatch.setattr(traversals, "kl_per_dimension", lambda q, p: None)
    assert isinstance(traversals.walks(model, digits.test), Figure)


@pytest.mark.parametrize("classes", [0, 10])
def test_distances_of_the_figure_are_those_of_the_metric(digits, classes):
    model = model_of((1, 8, 8), 8, classes, **({"condition": ["encoder", "decoder"]} if classes else {}))
    curve = build("metric", "aggregate", "metric", model=model, split=digits.test).curves["aggregate_ks_by_dimension"]
    panels = build("figure", "aggregate_posterior", model=model, split=digits.test).axes[: len(curve)]
    told = {axes.get_title("left"): axes.get_title("right") for axes in panels}
    assert told == {f"z{d:g}": f"KS {ks:.2f}" for d, ks in curve}


def test_a_figure_that_is_not_allowed_says_what_it_needs(digits, tmp_path):
    has = known(model_of((1, 8, 8), 8), digits)
    missing = set(names("figure")) - {path.stem for path in draw(tmp_path, **has)}
    assert missing >= {"manifold", "stages", "timeline", "level_kl", "kl_ratio", "convergence", "pseudo_inputs"}
    for name in missing:
        with pytest.raises(UsageError, match=f"figure '{name}' cannot be drawn of this run; it needs "):
            list(draw(tmp_path, [name], **has))
    with pytest.raises(UsageError, match="it needs a trained model"):
        list(draw(tmp_path, ["manifold"], **known(None, None, ROWS)))


def test_only_those_are_drawn_that_are_asked_for_and_none_before_all_names_are_known(tmp_path):
    has = known(None, None, ROWS)
    assert list(draw(tmp_path, ["kl_ratio"], **has)) == [tmp_path / "kl_ratio.png"]
    with pytest.raises(UsageError, match="there is no figure 'manifolds'; did you mean 'manifold'"):
        list(draw(tmp_path, ["training_losses", "manifolds"], **has))
    assert [path.name for path in tmp_path.iterdir()] == ["kl_ratio.png"]


def test_figures_of_an_epoch_are_those_that_declare_it(digits, tmp_path):
    draw_epoch(model_of((1, 8, 8), 2), digits, 3, tmp_path)
    drawn = {path.name for path in (tmp_path / "figures").iterdir()}
    assert drawn == {"epoch_0003_samples.png", "epoch_0003_reconstructions.png"}
    draw_epoch(model_of((1, 8, 8), 2, prior=VAMP), digits, 4, tmp_path)
    assert (tmp_path / "figures" / "epoch_0004_pseudo_inputs.png").exists()


def test_every_figure_has_a_title_and_says_what_it_shows():
    about = {name: about_figure(name) for name in names("figure")}
    assert all(shown.title for shown in about.values())
    assert {name for name, shown in about.items() if not shown.caption} == {"training_losses", "kl_ratio"}


def test_the_bound_converges_where_it_was_measured(digits, drawn):
    found = MetricResult(values={}, protocol={}, curves={"iwae": [(1, -50.0), (2, -49.0), (5, -48.5)]})
    results = Results(metrics={"likelihood": found})
    (axes,) = drawn(model_of((1, 8, 8), 3), digits, results=results, only=["convergence"])["convergence"].axes
    assert axes.lines[0].get_xydata().tolist() == [list(point) for point in found.curves["iwae"]]
    assert axes.get_xscale() == "log" and axes.get_xlabel() == "draws per image"


VAMP, EXEMPLAR = {"kind": "vamp", "components": 12}, {"kind": "exemplar", "components": 12, "per_step": 12}


@pytest.mark.parametrize("prior", [VAMP, EXEMPLAR], ids=["vamp", "exemplar"])
@pytest.mark.parametrize("posterior", ["gaussian", "flow"])
def test_a_mixture_of_posteriors_shows_what_it_is_made_of(digits, prior, posterior, drawn):
    figures = drawn(model_of((1, 8, 8), 2, prior=prior, posterior=posterior), digits)
    assert set(figures) == ALWAYS | {"interpolations", "manifold", "pseudo_inputs", "prior_samples"}


@pytest.mark.parametrize("scale", [0.01, 1.0, 50.0])
def test_traversals_move_as_far_as_codes_lie_apart(digits, scale, monkeypatch):
    """Whatever the scale and place of the latent, which a learned prior leaves free."""
    model, decoded = model_of((1, 8, 8), 2), []
    q = Independent(Normal(torch.full((len(digits.test), 2), 7.0 * scale), scale), 1)
    monkeypatch.setattr(model, "q_z", lambda x, y=None: q)
    monkeypatch.setattr(traversals, "decoded", lambda model, z, y: decoded.append(z) or torch.zeros(2, 11, 1, 8, 8))
    traversals.walks(model, digits.test)
    moved = torch.stack([decoded[0][row, :, dimension] for row, dimension in ((0, 0), (0, 1), (1, 0), (1, 1))])
    farthest = moved[(moved.amax(1) - moved.amin(1)).argsort(descending=True)[:2]]
    n = 8 * len(digits.test)
    wanted = (7 + torch.linspace(-3, 3, 11)) * scale
    assert (farthest - wanted).abs().max() < 5 * scale * (1 / n + 9 / (2 * n)) ** 0.5


def test_every_figure_of_a_conditional_model(digits, drawn):
    model = model_of((1, 8, 8), 2, 10, prior=VAMP, condition=["encoder", "decoder", "prior"])
    assert set(drawn(model, digits)) == ALWAYS | {"interpolations", "pseudo_inputs", "prior_samples", "classes"}


def test_shares_are_those_of_the_likeliest_component(digits, monkeypatch):
    """Of two pseudo-inputs, one far from all latents: it never wins."""
    model = model_of((1, 8, 8), 2, prior={"kind": "mixture", "components": 2})
    model.prior.mean.data = torch.tensor([[1e3, 0.0], [0.0, 0.0]])
    monkeypatch.setattr(type(model.prior), "pseudo_inputs", torch.zeros(2, 1, 8, 8))
    shares = []
    monkeypatch.setattr(pseudo_inputs, "pseudo_inputs", lambda images, share, **_: shares.append(share.tolist()))
    pseudo_inputs.components(model, digits.test)
    assert shares == [[0.0, 1.0]]


def test_the_validation_loss_is_called_what_it_is(drawn):
    losses = drawn(None, None, ROWS, bound="loss at β = 1")["training_losses"]
    assert losses.axes[0].get_title(loc="left").partition(", ")[2] == "validation loss at β = 1"
