"""Softmax, cross-entropy and its gradient, slopes by central differences, and the checks of the scripts."""

import numpy as np


def log_softmax(z):
    shifted = z - z.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def softmax(z):
    return np.exp(log_softmax(z))


def one_hot(targets, outputs):
    return np.eye(outputs)[targets]


def cross_entropy(z, targets):
    """Mean over the batch."""
    return -log_softmax(z)[np.arange(len(targets)), targets].mean()


def cross_entropy_gradient(z, targets):
    """d cross_entropy / dz, [B, C]."""
    return (softmax(z) - one_hot(targets, z.shape[1])) / len(targets)


def differences(value, at, step=1e-5):
    """d value(x) / dx at x = `at`, an array or a number, by central differences."""
    at = np.asarray(at, float)
    result = np.zeros(at.shape)
    for index in np.ndindex(at.shape):
        above, below = at.copy(), at.copy()
        above[index] += step
        below[index] -= step
        result[index] = (value(above) - value(below)) / (2 * step)
    return result


def close(one, other, tolerance=1e-12):
    """Fails where the two differ by more than `tolerance`."""
    np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)


def far(wrong, right, relative=1e-3):
    """`wrong` as an array; fails where it is so near `right` that a test could take one for the other."""
    wrong, right = np.asarray(wrong, float), np.asarray(right, float)
    assert np.abs(wrong - right).max() > relative * max(np.abs(right).max(), 1e-3), (wrong, right)
    return wrong
