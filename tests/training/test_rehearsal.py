"""A rehearsal shows that parts go together, with little memory."""

from vaelab.training.rehearsal import SAMPLES, rehearse


def test_a_rehearsal_of_a_thousand_draws_takes_few(parts, monkeypatch):
    made = parts("objective={kind: iwae, samples: 1000}")
    asked = []
    forward = type(made.model).forward
    monkeypatch.setattr(
        type(made.model), "forward", lambda *given, samples=1: asked.append(samples) or forward(*given, samples=samples)
    )
    rehearse(made.model, made.objective, made.data)
    assert asked == [SAMPLES]
