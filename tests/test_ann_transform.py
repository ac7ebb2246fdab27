"""The linear maps in front of the codes: what they keep and what they make smaller."""

from __future__ import annotations

import numpy as np
import pytest

from vsearch.ann.transform import balanced_rotation, query_aware, query_map, random_rotation, second_moment

DIM = 48


def rows(n: int, seed: int, spread: float) -> np.ndarray:
    """Vectors whose directions have unlike energies."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(np.random.default_rng(int(spread * 100)).standard_normal((DIM, DIM)))[0]
    scales = np.exp(-spread * np.arange(DIM) / DIM * 4)
    made = rng.standard_normal((n, DIM)) * scales @ axes
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def data() -> np.ndarray:
    return rows(4000, 1, 0.5)


@pytest.fixture
def queries() -> np.ndarray:
    return rows(3000, 2, 1.2)


def maps(data: np.ndarray, queries: np.ndarray) -> dict[str, np.ndarray]:
    aware = query_aware(second_moment(data), second_moment(queries))
    moment = aware @ second_moment(data) @ aware.T
    return {
        "query-aware": aware,
        "random": random_rotation(DIM, 3),
        "balanced": balanced_rotation(second_moment(data), 12),
        "both": balanced_rotation(moment, 12) @ aware,
    }


@pytest.mark.parametrize("kind", ["query-aware", "random", "balanced", "both"])
def test_inner_products_survive_every_map(kind, data, queries):
    matrix = maps(data, queries)[kind]
    through = (queries @ query_map(matrix).T) @ (data @ matrix.T).T
    np.testing.assert_allclose(through, queries @ data.T, atol=1e-5)


def test_no_other_map_tried_makes_the_product_of_energies_smaller(data, queries):
    sx, sq = second_moment(data), second_moment(queries)

    def energies(matrix: np.ndarray) -> float:
        inverse = np.linalg.inv(matrix)
        return float(np.trace(matrix @ sx @ matrix.T) * np.trace(inverse.T @ sq @ inverse))

    best = query_aware(sx, sq).astype(np.float64)
    assert energies(best) < 0.9 * energies(np.eye(DIM))
    rng = np.random.default_rng(0)
    for _ in range(20):
        near = best @ (np.eye(DIM) + 0.02 * rng.standard_normal((DIM, DIM)))
        assert energies(near) >= energies(best) * (1 - 1e-3)


@pytest.mark.parametrize("kind", ["random", "balanced"])
def test_a_rotation_keeps_lengths(kind, data, queries):
    matrix = maps(data, queries)[kind]
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(DIM), atol=1e-5)


def test_a_balanced_rotation_gives_every_part_of_the_code_the_same_product_of_variances(data):
    turned = data @ balanced_rotation(second_moment(data), 12).T
    products = np.log(turned.var(axis=0)).reshape(12, 4).sum(axis=1)
    plain = np.log(np.sort(data.var(axis=0))).reshape(12, 4).sum(axis=1)
    assert products.std() < 0.25 * plain.std()
    correlation = np.corrcoef(turned.T) - np.eye(DIM)
    assert abs(correlation).max() < 0.05, "and its coordinates are uncorrelated"


def test_directions_without_energy_do_not_break_the_transform():
    flat = rows(500, 1, 0.5)
    flat[:, :20] = 0
    matrix = query_aware(second_moment(flat), second_moment(rows(500, 2, 1.2)))
    assert np.isfinite(matrix).all()
    np.testing.assert_allclose((flat @ query_map(matrix).T) @ (flat @ matrix.T).T, flat @ flat.T, atol=1e-5)
