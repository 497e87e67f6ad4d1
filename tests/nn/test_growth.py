"""A growing backbone: what is applied in a step, how old and new are blended, and what does not go together."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from typer.testing import CliRunner

import vaelab
from vaelab.cli import app
from vaelab.errors import UsageError
from vaelab.nn.growth import GrowingDecoder, averaged, enlarged
from vaelab.recipe.recipe import Recipe
from vaelab.registry.schema import build
from vaelab.roles import Growth

GROWING = """
data: {kind: digits, pad: 4, train_size: 96, valid_size: 32, test_size: 32}
model:
  latent_dim: 3
  backbone: {kind: progressive, start_res: 4, base_channels: 8, min_channels: 4, epochs_per_stage: 1}
objective: elbo
train: {epochs: 4, batch_size: 16, draw_every: 0}
"""  # images of 16 × 16, three stages of 6 steps each
RESIDUAL = "model.backbone={kind: progressive_residual, start_res: 4, epochs_per_stage: 1}"
PYRAMID = (RESIDUAL, "model.posterior=residual", "model.latent_dim=[2, 2, 2]")


@pytest.mark.parametrize(
    ("fade_steps", "expected"),
    [
        (4, {0: (4, 1), 9: (4, 1), 10: (8, 0), 11: (8, 0.25), 13: (8, 0.75), 14: (8, 1), 19: (8, 1), 20: (16, 0)}),
        (4, {22: (16, 0.5), 23: (16, 0.75), 24: (16, 1), 29: (16, 1), 30: (16, 1), 10**6: (16, 1)}),
        (0, {0: (4, 1), 9: (4, 1), 10: (8, 1), 19: (8, 1), 20: (16, 1), 21: (16, 1), 10**6: (16, 1)}),
        (10, {0: (4, 1), 9: (4, 1), 10: (8, 0), 19: (8, 0.9), 20: (16, 0), 29: (16, 0.9), 30: (16, 1)}),
    ],
)
def test_resolution_and_alpha_of_a_step(fade_steps, expected):
    growth = Growth([4, 8, 16], 10, fade_steps)
    for step, (resolution, alpha) in expected.items():
        assert growth.at(step) == {"resolution": resolution, "alpha": pytest.approx(alpha)}, step
        assert growth.alpha.item() == pytest.approx(alpha)


def test_one_stage_does_not_grow():
    growth = Growth([8], 10, 5)
    assert growth.settled == 0
    assert [growth.at(step) for step in (0, 3, 100)] == [{"resolution": 8, "alpha": 1}] * 3


@pytest.mark.parametrize("fade_steps", [0, 1, 4, 10])
def test_is_settled_from_the_first_step_in_which_it_is_complete(fade_steps):
    growth = Growth([4, 8, 16], 10, fade_steps)
    complete = {"resolution": 16, "alpha": 1}
    assert [growth.at(growth.settled + n) for n in (0, 1, 100)] == [complete] * 3
    assert growth.at(growth.settled - 1) != complete


def test_is_complete_until_it_is_told_a_step():
    growth = Growth([4, 8, 16], 10, 4)
    untold = growth.stage, growth.fading, growth.alpha.item()
    growth.at(10**6)
    assert untold == (growth.stage, growth.fading, growth.alpha.item()) == (2, False, 1)
    growth.at(11)
    assert growth.began == 10 and not growth.state_dict()


def nets(**options) -> tuple[nn.Module, nn.Module, Growth]:
    """An encoder and decoder of 4, 8 and 16 pixels in float64, ten steps each, of which four fade."""
    given = {"kind": "progressive", "start_res": 4, "base_channels": 8, "min_channels": 3, "epochs_per_stage": 1}
    given |= {"fadein_ratio": 0.4} | options
    sizes = {"x_shape": (2, 16, 16), "latent_dim": 3, "out_channels": 4, "steps_per_epoch": 10}
    encoder, decoder = build("backbone", given, **sizes)
    return encoder.double(), decoder.double(), encoder.growth


@torch.no_grad()
def test_one_schedule_serves_encoder_and_decoder():
    encoder, decoder, growth = nets()
    assert encoder.growth is decoder.growth is growth
    assert (growth.resolutions, growth.stage_steps, growth.fade_steps) == ([4, 8, 16], 10, 4)
    for step, resolution in ((0, 4), (12, 8), (29, 16)):
        growth.at(step)
        assert encoder(torch.rand(2, 2, 16, 16).double()).shape == (2, 8 * 4 * 4)
        assert decoder(torch.randn(5, 3).double()).shape == (5, 4, resolution, resolution)


@pytest.mark.parametrize("stage", [1, 2])
@torch.no_grad()
def test_a_stage_begins_as_the_one_before_and_ends_as_itself(stage):
    encoder, decoder, growth = nets()
    x, z, first = torch.rand(3, 2, 16, 16).double(), torch.randn(5, 3).double(), 10 * stage

    def both(step: int) -> tuple[Tensor, Tensor]:
        growth.at(step)
        return encoder(x), decoder(z)

    old, new, at_0 = both(first - 1), both(first + 4), both(first)
    assert torch.equal(at_0[1], enlarged(old[1]))
    torch.testing.assert_close(at_0[0], old[0])  # convolutions round by the layout in memory
    growth.alpha.fill_(1)
    assert growth.fading
    assert torch.equal(decoder(z), new[1])
    torch.testing.assert_close(encoder(x), new[0])
    for step, alpha in ((first + 1, 0.25), (first + 2, 0.5), (first + 3, 0.75)):
        torch.testing.assert_close(both(step)[1], (1 - alpha) * enlarged(old[1]) + alpha * new[1])
    assert not torch.allclose(new[0], old[0]) and not torch.allclose(new[1], enlarged(old[1]))


@pytest.mark.parametrize("stage", [1, 2])
@torch.no_grad()
def test_features_and_output_are_continuous_in_alpha(stage):
    """Between steps of an eighth the size they change by about an eighth as much."""
    encoder, decoder, growth = nets()
    x, z = torch.rand(3, 2, 16, 16).double(), torch.randn(5, 3).double()
    growth.at(10 * stage)

    def largest_jump(steps: int) -> Tensor:
        outputs = []
        for alpha in torch.linspace(0, 1, steps + 1):
            growth.alpha.fill_(alpha)
            outputs.append(torch.cat([encoder(x).flatten(), decoder(z).flatten()]))
        return torch.stack(outputs).diff(dim=0).abs().max()

    assert 0 < largest_jump(128) < 0.2 * largest_jump(16)


def test_a_stage_learns_with_its_own_parts_alone():
    """What is still to come has no gradient; of a complete model everything has one but the former pictures."""
    encoder, decoder, growth = nets()
    x, z = torch.rand(3, 2, 16, 16).double(), torch.randn(5, 3).double()

    def learning(step: int) -> set[str]:
        growth.at(step)
        (encoder(x).square().sum() + decoder(z).square().sum()).backward()
        named = [(name, p) for net in (encoder, decoder) for name, p in net.named_parameters()]
        found = {name.rsplit(".", 1)[0] for name, p in named if p.grad is not None and p.grad.any()}
        for _, p in named:
            p.grad = None
        return found

    first = {"base.0", "from_image.0", "to_image.0"}
    assert learning(0) == first
    assert learning(12) == first | {"blocks.0.0", "blocks.0.1", "from_image.1", "to_image.1"}
    assert learning(25) == {
        "base.0",
        *(f"blocks.{s}.{i}" for s in (0, 1) for i in (0, 1)),
        "from_image.2",
        "to_image.2",
    }


def test_has_as_many_weights_as_the_original():
    model = Recipe.read("mnist-progressive").build_model((1, 32, 32))
    assert sum(p.numel() for p in model.parameters()) == 467_148


def coarse(p: Distribution, weight: str) -> Distribution:
    """As a decoder of three stages has it."""
    return GrowingDecoder(Growth([4, 8, 16], 1, 0), weight).observed(p)


@pytest.mark.parametrize("resolution", [4, 8])
@torch.no_grad()
def test_a_coarse_bernoulli_scores_as_its_enlarged_image_against_all_pixels(resolution):
    bernoulli = build("likelihood", "bernoulli")
    logits, x = 3 * torch.randn(5, 3, 2, resolution, resolution), torch.rand(3, 2, 16, 16)
    p = coarse(bernoulli(logits), "area")
    exact = bernoulli(enlarged(logits, 16 // resolution)).log_prob(x)
    torch.testing.assert_close(p.log_prob(x), exact, rtol=1e-5, atol=1e-3)
    one = coarse(bernoulli(logits), "one")
    torch.testing.assert_close(one.log_prob(x) * (16 // resolution) ** 2, exact, rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(one.log_prob(x), bernoulli(logits).log_prob(averaged(x, resolution)))


@torch.no_grad()
def test_a_coarse_distribution_is_over_whole_images(agrees):
    p = coarse(build("likelihood", "normal")(torch.rand(5, 3, 2, 4, 4)), "area")
    assert (tuple(p.batch_shape), tuple(p.event_shape)) == ((5, 3), (2, 16, 16))
    assert p.log_prob(torch.rand(3, 2, 16, 16)).shape == (5, 3)
    assert torch.equal(p.mean, enlarged(p.base.mean, 4)) and p.mean.shape == (5, 3, 2, 16, 16)
    assert p.sample().shape == (5, 3, 2, 16, 16)
    drawn = p.sample((400,))
    assert torch.equal(drawn, enlarged(drawn[..., ::4, ::4], 4))
    agrees(drawn, enlarged(p.base.base_dist.loc, 4))


def test_the_last_stage_is_the_likelihood_itself():
    p = build("likelihood", "bernoulli")(torch.randn(3, 1, 16, 16))
    assert coarse(p, "area") is p


@pytest.mark.parametrize("lead", [(3,), (5, 3)])
def test_enlarging_undoes_averaging_of_areas(lead):
    small = torch.randn(*lead, 2, 4, 4)
    for factor in (1, 2, 4):
        large = enlarged(small, factor)
        assert torch.equal(large, small.repeat_interleave(factor, -1).repeat_interleave(factor, -2))
        torch.testing.assert_close(averaged(large, 4), small)


@pytest.mark.parametrize(("step", "side"), [(0, 4), (11, 8), (29, 16)])
@torch.no_grad()
def test_a_model_takes_and_gives_whole_images_in_every_stage(step, side):
    model = Recipe.read("mnist-progressive", ["model.latent_dim=3", "model.backbone.final_res=16"]).build_model(
        (1, 16, 16), steps_per_epoch=1
    )
    model.decoder.growth.at(step)
    x = torch.rand(4, 1, 16, 16)
    assert model(x, samples=2).log_px.shape == (2, 4)
    for shown in (model.reconstruct(x), model.generate(4), model.p_x(model.p_z().sample((4,))).sample()):
        assert shown.shape == (4, 1, 16, 16)
        assert torch.equal(shown, enlarged(shown[..., :: 16 // side, :: 16 // side], 16 // side))


@pytest.fixture
def recipe(tmp_path) -> str:
    path = tmp_path / "growing.yaml"
    path.write_text(GROWING)
    return str(path)


REFUSALS = [
    (
        ("model.backbone.start_res=32", "model.backbone.final_res=16"),
        "start_res 32 is above final_res 16; start at 16 or below",
    ),
    (
        "model.backbone.start_res=32",
        "images are 16 × 16, below start_res 32; start at 16 or below, or set data.resize=32 (of celeba data.size=32)",
    ),
    ("model.backbone.start_res=6", "start_res 6 is no power of two; try 4 or 8"),
    ("model.backbone.final_res=20", "final_res 20 is no power of two; try 16 or 32"),
    ("model.backbone.final_res=32", "images are 16 × 16, and the final resolution is 32; add 8 to data.pad, for black"),
    (
        "model.backbone.final_res=8",
        "images are 16 × 16, and the final resolution is 8; set data.resize=8 (of celeba data.size=8) and data.pad=0",
    ),
    ("model.backbone.start_res=0", "model.backbone.start_res: expected greater than 0; got 0"),
    ("model.backbone.fadein_ratio=1.5", "model.backbone.fadein_ratio: expected less than or equal to 1; got 1.5"),
    ("model.backbone.fadein_ratio=-0.1", "model.backbone.fadein_ratio: expected greater than or equal to 0; got -0.1"),
    ("model.backbone.epochs_per_stage=0", "model.backbone.epochs_per_stage: expected greater than 0; got 0"),
    (("model.latent_dim=[]", "model.posterior=ladder"), "model.latent_dim: expected at least 1 item; got []"),
    ((RESIDUAL, "model.posterior=residual"), "a latent for each of its 3 stages; set model.latent_dim=[3, 3, 3]"),
    (
        (RESIDUAL, "model.posterior=residual", "model.latent_dim=[4, 2]"),
        "a latent for each of its 3 stages; set model.latent_dim=[4, 4, 4]",
    ),
    (
        (*PYRAMID, "model.condition=[decoder]"),
        "model.backbone: its stages see no class; leave encoder and decoder out of",
    ),
    (
        (*PYRAMID, "model.condition=[encoder]"),
        "model.posterior: its stages see no class; leave encoder and decoder out of",
    ),
    (
        (*PYRAMID, "model.prior={kind: vamp, components: 5}"),
        "and the posterior has more; make it the top of a two_level, or of a ladder if the posterior is one",
    ),
    ("model.posterior=residual", "it needs the stages of a pyramid; set model.backbone=progressive_residual"),
    ("model.likelihood=pyramid", "pyramid is the loss of several stages; set model.backbone=progressive_residual"),
    (
        ("model.backbone=mlp", "model.likelihood=pyramid"),
        "pyramid is the loss of several stages; set model.backbone=progressive_residual",
    ),
    ("model.posterior=two_level", "it has two levels of latents; set model.latent_dim=[top, bottom], not [3]"),
    ("model.prior=two_level", "it has two levels of latents or more; set model.latent_dim=[top, …, bottom], not [3]"),
    ("model.posterior=ladder", "a ladder has levels; set model.latent_dim=[top, …, bottom], not [3]"),
    (
        ("model.prior=ladder", "model.latent_dim=[2, 3]", "model.posterior=two_level"),
        "a ladder prior shares its way down with the posterior; set model.posterior=ladder",
    ),
    (
        ("model.prior={kind: two_level, top: {kind: vamp, components: 5}}", "model.latent_dim=[2, 3]"),
        "this prior has levels and the posterior has none; set model.posterior to two_level or ladder",
    ),
    ("objective.level_nats=1", "level_nats are counted per level, and these latents have none"),
    ("objective={kind: elbo, level_nats: 1, free_nats: 1}", "give one of them"),
    (
        "objective.beta={kind: per_stage, steps: 2, stages: [0, 3]}",
        "stages: 3 is none, they are 0 to 2; list some of these",
    ),
    ("objective.beta={kind: per_stage, steps: 2, stages: []}", "stages lists none; list some of 0 to 2"),
    ("objective.beta={kind: per_stage, steps: 2, stages: [-1]}", "expected greater than or equal to 0; got -1"),
    ("objective.beta={kind: per_stage, epochs: 2}", "12 steps are longer than a stage of 6; give fewer"),
    (
        ("objective.beta={kind: per_stage, steps: 2}", "model.backbone=mlp"),
        "per_stage needs a model that grows; set model.backbone to progressive, or take linear",
    ),
    ("train.epochs=2", "shorten the stages with model.backbone.epochs_per_stage, or train longer"),
    ("train.steps=14", "the model is complete after epoch 2.5 alone, and the run has"),
    (
        "train.steps=15",
        "the model is complete after epoch 2.5 alone, and the run has",
    ),  # the last of them still fades in
    (("train.epochs=2", "model.backbone.fadein_ratio=0"), "the model is complete after epoch 2 alone, and the run has"),
    ((RESIDUAL, "model.latent_dim=[2, 2, 2]"), "latents for each of its stages; set model.posterior=residual"),
    ("model.output_bias=data", "a growing model have a bias for each stage; leave out model.output_bias"),
    (
        ("model.latent_dim=[2, 3]", "model.posterior=two_level", "model.prior={kind: two_level, top: two_level}"),
        "its top is a prior of one level; set it to normal, vamp, mixture, exemplar or flow",
    ),
    (
        ("model.latent_dim=[2, 3]", "model.posterior=two_level", "model.prior={kind: vamp, components: 5}"),
        "this prior is of one level, and the posterior has more; make it the top of a two_level, or of a ladder if",
    ),
    (
        (
            "model.latent_dim=[2, 3]",
            "model.posterior=two_level",
            "objective={kind: elbo, level_nats: 1, kl: monte_carlo}",
        ),
        "level_nats are counted per level, which kl: monte_carlo does not give",
    ),
    (("train.at_stage=reset", "train.lr_warmup_steps=7"), "lr_warmup_steps 7 is longer than a stage of 6 steps"),
    ("train.lr_decay_steps=5", "lr_decay_steps are those of the cosine; set lr_schedule=cosine, or leave them out"),
    ("train.at_stage=restart", "train.at_stage: expected 'carry' or 'reset'; got 'restart'"),
]


@pytest.mark.parametrize(("overrides", "said"), REFUSALS, ids=lambda given: str(given)[-40:])
def test_what_does_not_go_together_is_refused_in_one_sentence(recipe, tmp_path, overrides, said):
    overrides = (overrides,) if isinstance(overrides, str) else overrides
    if any(text.startswith("train.steps") for text in overrides):  # in place of the epochs
        Path(recipe).write_text(GROWING.replace("epochs: 4, ", ""))
    with pytest.raises(UsageError) as refusal:
        vaelab.train(recipe, *overrides, run=tmp_path / "run", device="cpu", quiet=True)
    message = str(refusal.value)
    assert "\n" not in message
    assert all(part in message for part in said.split(".*")), message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("shape", "final_res", "said"),
    [
        (
            (1, 28, 28),
            32,
            "images are 28 × 28, .*; add 2 to data.pad, for black pixels around, or set data.resize=32 .* data.pad=0",
        ),
        (
            (1, 31, 31),
            32,
            "images are 31 × 31, and the final resolution is 32; set data.resize=32 (of celeba data.size=32) and",
        ),
        ((3, 28, 20), 32, "images are 28 × 20, .*; set data.crop, data.resize=32 and data.pad=0, for square images"),
        ((3, 16, 32), None, "images are 16 × 32, .*; set data.crop, data.resize=32 and data.pad=0, for square images"),
        ((1, 28, 28), None, "images are 28 × 28, and the final resolution is 32; add 2 to data.pad"),
        ((1, 28, 28), 28, "final_res 28 is no power of two; try 16 or 32"),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["progressive", "progressive_residual"])
def test_images_of_another_size_are_refused_with_what_to_do_about_them(kind, shape, final_res, said):
    given = {"kind": kind, "start_res": 4} | ({"final_res": final_res} if final_res else {})
    with pytest.raises(UsageError) as refusal:
        build("backbone", given, x_shape=shape, latent_dim=3, out_channels=1, levels=(3,))
    message = str(refusal.value)
    assert message.startswith("backbone: ") and "\n" not in message
    assert all(part in message for part in said.split(".*")), message


@pytest.mark.parametrize(
    "override", ["model.backbone.start_res=32", "objective.beta={kind: per_stage, steps: 2, stages: []}"]
)
def test_on_the_command_line_a_refusal_is_a_line_and_no_traceback(recipe, tmp_path, override):
    words = ["train", recipe, override, "--run", str(tmp_path / "run"), "--device", "cpu"]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, SystemExit) and result.exit_code == 2
    assert result.stderr.startswith("error: ") and len(result.stderr.splitlines()) == 1
    assert "Traceback" not in result.output and not result.stdout
