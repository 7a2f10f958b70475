import pytest
from pydantic import ValidationError

from fastsim.errors import InputError
from fastsim.model import Counts, Empirical, Mixture, Resource, ServiceModel
from fastsim.yaml_source import parse_yaml
from tests.model_file import MODEL


def test_the_example_model_is_valid() -> None:
    model = parse_yaml(MODEL, ServiceModel)
    assert [endpoint.name for endpoint in model.endpoints] == ["GET /items/{id}", "POST /chat"]
    assert model.process.workers == 2
    assert model.process.python == "3.11"


def test_a_resource_that_is_used_must_be_listed() -> None:
    with pytest.raises(ValidationError, match="uses resource 'cache'"):
        ServiceModel.model_validate(
            {
                "service": "s",
                "endpoints": [
                    {
                        "name": "GET /",
                        "share": 1.0,
                        "variants": [{"steps": [{"do": "acquire", "resource": "cache"}]}],
                    }
                ],
            }
        )


@pytest.mark.parametrize(
    ("weights", "parts"),
    [([1.0], []), ([1.0, 1.0], [{"family": "expon", "mean": 1.0}]), ([-1.0], [1]), ([0.0], [1])],
)
def test_a_mixture_needs_one_positive_weight_per_part(
    weights: list[float], parts: list[object]
) -> None:
    filled = [part if part != 1 else {"family": "expon", "mean": 1.0} for part in parts]
    with pytest.raises(ValidationError):
        Mixture.model_validate({"weights": weights, "parts": filled})


@pytest.mark.parametrize(
    ("probabilities", "values"),
    [
        ([0.0, 1.0], [1.0]),
        ([0.0, 0.5, 0.4, 1.0], [1.0, 2.0, 3.0, 4.0]),
        ([0.0, 1.0], [2.0, 1.0]),
        ([0.1, 1.0], [1.0, 2.0]),
        ([0.0, 0.9], [1.0, 2.0]),
    ],
)
def test_a_quantile_curve_runs_from_0_to_1_and_never_falls(
    probabilities: list[float], values: list[float]
) -> None:
    with pytest.raises(ValidationError):
        Empirical(probabilities=probabilities, values=values)


@pytest.mark.parametrize(
    ("values", "weights"), [([1], [1.0, 2.0]), ([-1], [1.0]), ([1], [0.0]), ([1], [-1.0]), ([], [])]
)
def test_counts_are_whole_numbers_with_weights(values: list[int], weights: list[float]) -> None:
    with pytest.raises(ValidationError):
        Counts(values=values, weights=weights)


PEER = """
version: 1
endpoints:
  GET /:
    - use: db
      steps: [db: 4ms]
resources: {db: {capacity: 2, hand_over: peer, scope: service}}
"""


@pytest.mark.parametrize("inside", ["[db: 4ms, cpu: 1ms]", "[sleep: 4ms]", "[cpu: 1ms]"])
def test_a_slot_of_a_peer_is_held_by_one_call(inside: str) -> None:
    assert parse_yaml(PEER, ServiceModel).resources["db"].hand_over == "peer"
    with pytest.raises(InputError, match="'db' is a peer"):
        parse_yaml(PEER.replace("[db: 4ms]", inside), ServiceModel)


def test_a_peer_has_no_timeout() -> None:
    with pytest.raises(ValidationError, match="a call that was made is served"):
        Resource(capacity=1, hand_over="peer", timeout=1.0)
