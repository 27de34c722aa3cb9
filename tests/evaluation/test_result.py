from jaxgen.evaluation import Evaluation, joined


def test_joined_evaluations_keep_order_and_the_first_of_a_name():
    def one(state):
        return Evaluation({"a": 1.0 * state, "b": 2.0}, counts={"n": 1})

    def other(state):
        return Evaluation({"b": 9.0, "c": 3.0 * state}, "network", {"n": 5, "m": 2})

    found = joined(one, other)(10)
    assert found == Evaluation({"a": 10.0, "b": 2.0, "c": 30.0}, "network", {"n": 1, "m": 2})
    assert list(found.figures) == ["a", "b", "c"]
