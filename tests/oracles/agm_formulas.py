"""Formulas of Adaptive Gradient Modulation, written from the paper's definitions, in their plainest form.

H. Li, X. Li, P. Hu, Y. Lei, C. Li, Y. Zhou, "Boosting Multi-modal Model Performance with Adaptive Gradient
Modulation", ICCV 2023, arXiv:2308.07686.

k modalities; z_S are the logits with only the modalities of S present, z of the empty set is 0. A subset is
the bit mask with bit m set when modality m is present.
  phi_m   = Shapley value of modality m in the game S -> z_S                                     [B, C]
  l_m     = mean over the batch of -log max(softmax(phi_m)[y], 1e-8)
  r_m     = exp(k/(k-1) (mean_n l_n - l_m))
  lhat_m  = mean of l_m over all earlier iterations (the current batch is not among them)
  tau_m   = exp(k/(k-1) (mean_n lhat_n - lhat_m)); 1 at the first iteration, which has no earlier one
  kappa_m = exp(alpha min(tau_m - r_m, cap))
The loss is CE(sum_m phi_m), and the gradient that enters phi_m is multiplied by kappa_m.
"""

from itertools import permutations
from math import factorial

import numpy as np

FLOOR = 1e-8


def shapley_weights(k):
    """W[m][S], phi_m = sum_S W[m][S] z_S: the mean over all orderings of what m adds to those before it."""
    weights = np.zeros((k, 2**k))
    for ordering in permutations(range(k)):
        present = 0
        for m in ordering:
            weights[m, present | 1 << m] += 1
            weights[m, present] -= 1
            present |= 1 << m
    return weights / factorial(k)


def responses(k, logits):
    """phi [k, B, C] of logits[S - 1] [B, C] for S = 1 .. 2^k - 1."""
    return np.einsum("ms,sbc->mbc", shapley_weights(k)[:, 1:], logits)


def softmax(values):
    e = np.exp(values - values.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def losses(phi, targets):
    """l [k]."""
    p = np.stack([softmax(one)[np.arange(len(targets)), targets] for one in phi])
    return -np.log(np.maximum(p, FLOOR)).mean(axis=1)


def strengths(means):
    """r of l, tau of lhat: [k]."""
    k = len(means)
    return np.exp(k / (k - 1) * (means.mean() - means))


def kappas(now, earlier, alpha, cap):
    """r, tau and kappa [k] of l and of the list of earlier l."""
    r = strengths(now)
    tau = strengths(np.mean(earlier, axis=0)) if earlier else np.ones(len(now))
    return r, tau, np.exp(alpha * np.minimum(tau - r, cap))


def coefficients(k, kappa):
    """c [2^k - 1]: dL/dz_S = c_S dL/dz, in closed form:
    c_S = (sum_{m in S} (|S|-1)! (k-|S|)! kappa_m - sum_{m not in S} |S|! (k-|S|-1)! kappa_m) / k!"""
    c = []
    for mask in range(1, 2**k):
        size = bin(mask).count("1")
        total = 0.0
        for m in range(k):
            if mask >> m & 1:
                total += factorial(size - 1) * factorial(k - size) * kappa[m]
            else:
                total -= factorial(size) * factorial(k - size - 1) * kappa[m]
        c.append(total / factorial(k))
    return np.array(c)


def loss_gradient(z, targets):
    """dCE/dz [B, C] of the mean cross-entropy."""
    return (softmax(z) - np.eye(z.shape[1])[targets]) / len(targets)
