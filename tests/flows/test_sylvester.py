import torch

from vaelab.flows.sylvester import Sylvester
from vaelab.nn.reflections import reflect


def layer(columns: int) -> Sylvester:
    built = Sylvester(5, 0, columns, 3).double()
    built.numbers.bias.data.normal_(std=2.0)
    return built


def test_it_is_the_formula_of_the_paper():
    flow, x = layer(2), torch.randn(10, 5).double()
    v, r1, r2, b = flow.constrained(None)
    q = reflect(torch.eye(5).double(), v.flip(-2)).T[:, :2]
    torch.testing.assert_close(q.T @ q, torch.eye(2).double())
    torch.testing.assert_close(flow(x, None)[0], x + torch.tanh(x @ q @ r2.T + b) @ r1.T @ q.T)


def test_matrices_are_triangular_with_a_positive_determinant():
    _, r1, r2, _ = layer(4).constrained(None)
    for r in (r1, r2):
        torch.testing.assert_close(r, r.triu())
        assert r.triu(1).any()
    assert (r1.diagonal() * r2.diagonal() > -1).all()


def test_more_columns_than_latents_are_as_many_as_latents():
    flow, x = layer(16), torch.randn(10, 5).double()
    assert flow.columns == 5
    torch.testing.assert_close(flow.inverse(flow(x, None)[0], None)[0], x)
