import numpy as np
import pytest


def test_solvers_are_compared(measure, run, capsys):
    (rows,) = measure("svm", f"--run={run}", "--positives=12", "--negatives=60", "--C=[0.01]", "--repeats=1")
    assert [(row["loss"], row["method"]) for row in rows] == [
        (loss, solver) for loss in ("hinge", "squared_hinge") for solver in ("LinearSVC", "this package")
    ]
    assert all(-1e-6 < float(row["above_optimum"]) < 1e-4 for row in rows if row["method"] == "this package")
    assert all(row["times_faster"] > 0 for row in rows)
    assert "above optimum" in capsys.readouterr().out


def test_problems_and_objectives(benchmark, open_run, run):
    from benchmarks import svm

    problem = svm.problem_of(open_run(run), "pool5", 5, 20)
    assert [(problem.labels > 0).sum(), (problem.labels < 0).sum()] == [5, 20]
    assert np.linalg.norm(problem.values[problem.labels < 0], axis=1).mean() == pytest.approx(20, rel=1e-5)
    small = svm.Problem("", np.array([[1.0], [3.0], [-2.0]], np.float32), np.array([1, 1, -1]))
    weights = np.array([0.5])
    # Margins 0.5 + b, 1.5 + b and 1 - b, b = 0.2: losses 0.3, 0 and 0.2.
    regularisation = 0.125 + 0.5 * 0.02**2
    assert svm.objective_of(small, weights, 0.2, 10, False) == pytest.approx(regularisation + 10 * (0.6 + 0.2))
    assert svm.objective_of(small, weights, 0.2, 10, True) == pytest.approx(regularisation + 10 * (0.18 + 0.04))


def test_what_is_left_out_and_what_is_refused(benchmark, capsys):
    assert benchmark.main(["svm"]) == 0
    assert "svm: nothing was measured" in capsys.readouterr().out
    assert benchmark.main(["svm", "--repeats=0"]) == 2
    assert benchmark.main(["svm", "--losses=[logistic]"]) == 2
