#!/usr/bin/env python3
"""Oracle of MCR's loss and its gradients. Writes mcr.json.

K. Kontras, T. Strypsteen, C. Chatzichristos, P. P. Liang, M. Blaschko, M. De Vos, "Balancing Multimodal Training
Through Game-Theoretic Regularization", NeurIPS 2025, arXiv:2411.07335, and the authors' code. z are the logits of the
features f_1 .. f_k; z^m those where modality m's features are permuted within the batch, row b has f_m[pi(b)]; one pi
for all m.
  JS_m   = mean over b of KL(p | (p + q) / 2) / 2 + KL(q | (p + q) / 2) / 2, p = softmax(z^m), q = softmax(z), in nats
  JS_m|A = the same value, but only the features in A are differentiated in z^m; z always is, and the fusion's weights
  greedy: R = sum_m -JS_m|{m} + JS_m|{all others}     (the others are one player)
  ind:    R = sum_m -JS_m|{m}
  colab:  R = sum_m -JS_m|{all}
  C      = mean over all ordered pairs (i, j), i != j, of one class of -log(E_ij / (E_ij + sum over n of another class
           of E_in)), E_ij = exp(cos(r_i, r_j) / 0.5), rows r: the features of all samples and modalities [k B]
  loss   = CE(z) + l R + lambda_c C

`cases`: per case `variant`, `l`, `lambda_c`, `permutation` pi, `features`, `weights` (lists over the modalities; z =
sum_m f_m W_m^T + b), `bias`, `targets`; `joint` = CE(z), `permuted_logits` [k, B, C], `js` [k], `contrastive` C,
`loss`, `gradients` of the features, `gradient_weights`, `gradient_bias`. In `loss` greedy's R is 0: it lives in the
gradients. Mistakes: mistake_loss_* (bits: logarithm to base 2; kl: KL(p | q); summed: sum over b; ind and colab alone)
and mistake_gradients_* (lists over the modalities): not_detached (every feature is differentiated in both of greedy's
terms, which then cancel), opposite (-l), own (z is differentiated in the own features alone; ind), base_fixed (z is
not differentiated in JS; ind and colab), inverse (rows by the inverse of pi).
`contrastive`: per case `features`, `targets`, `value`, `gradients`, among them a batch of one class (0) and classes of
one sample; mistake_unlabelled (pairs of one sample alone), mistake_all (the sum is over all n != i),
mistake_not_normalised (inner products), mistake_across (pairs of two modalities alone).
"""

import numpy as np

import store
from numeric import close, cross_entropy, cross_entropy_gradient, differences, far, log_softmax, softmax

SEED = 2411
B, C = 5, 3
TAU = 0.5


def fused(features, weights, bias):
    return sum(f @ w.T for f, w in zip(features, weights)) + bias


def permuted(features, m, pi):
    return [f[pi] if n == m else f for n, f in enumerate(features)]


def js_rows(z, base):
    p, q = softmax(z), softmax(base)
    middle = np.log((p + q) / 2)
    return ((p * (log_softmax(z) - middle)).sum(1) + (q * (log_softmax(base) - middle)).sum(1)) / 2


def entropy(p):
    return -(p * np.log(p)).sum(1)


def js(z, base):
    """The same as H((p + q) / 2) - (H(p) + H(q)) / 2."""
    p, q = softmax(z), softmax(base)
    value = js_rows(z, base).mean()
    close(value, (entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2).mean())
    return value


def js_gradient(z, base):
    """d js / d z; that of base is js_gradient(base, z)."""
    p = softmax(z)
    inner = (np.log(p) - np.log((p + softmax(base)) / 2)) / 2
    return p * (inner - (p * inner).sum(1, keepdims=True)) / len(z)


def terms(variant, k):
    """(m, features that are differentiated in z^m, sign)"""
    result = []
    for m in range(k):
        others = [n for n in range(k) if n != m]
        if variant == "greedy":
            result += [(m, [m], -1), (m, others, 1)]
        else:
            result.append((m, [m] if variant == "ind" else list(range(k)), -1))
    return result


def regulariser_gradients(variant, features, weights, bias, pi, base_live=lambda m, n: True, live_is_all=False):
    """dR / d features and weights."""
    base = fused(features, weights, bias)
    of_features = [np.zeros_like(f) for f in features]
    of_weights = [np.zeros_like(w) for w in weights]
    for m, live, sign in terms(variant, len(features)):
        shown = permuted(features, m, pi)
        z = fused(shown, weights, bias)
        into_z, into_base = sign * js_gradient(z, base), sign * js_gradient(base, z)
        for n, w in enumerate(weights):
            if live_is_all or n in live:
                rows = into_z @ w
                if n == m:
                    np.add.at(of_features[n], pi, rows)
                else:
                    of_features[n] += rows
            if base_live(m, n):
                of_features[n] += into_base @ w
            of_weights[n] += into_z.T @ shown[n] + into_base.T @ features[n]
    return of_features, of_weights


def regulariser_slope(variant, features, weights, bias, pi, n):
    """dR / d f_n by central differences: f_n moves where it is differentiated, and stays elsewhere."""
    def value(x):
        base = fused([x if i == n else f for i, f in enumerate(features)], weights, bias)
        total = 0.0
        for m, live, sign in terms(variant, len(features)):
            shown = [x if i == n and n in live else f for i, f in enumerate(features)]
            total += sign * js(fused(permuted(shown, m, pi), weights, bias), base)
        return total
    return differences(value, features[n])


def contrastive(features, targets, normalise=True, positive=None, negative=None):
    """`positive(i, j)` and `negative(i, n)`: which pairs count; rows i of all modalities, [k B]."""
    labels = np.tile(targets, len(features))
    rows = np.concatenate(features)
    if normalise:
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    positive = positive or (lambda i, j: labels[i] == labels[j])
    negative = negative or (lambda i, n: labels[i] != labels[n])
    losses = []
    for i in range(len(rows)):
        below = sum(np.exp(rows[i] @ rows[n] / TAU) for n in range(len(rows)) if negative(i, n))
        for j in range(len(rows)):
            if i != j and positive(i, j):
                similar = np.exp(rows[i] @ rows[j] / TAU)
                losses.append(-np.log(similar / (similar + below)))
    return np.mean(losses)


def contrastive_gradients(features, targets):
    """By matrices: dC / dS, S = r r^T / tau, and back through the length of each row."""
    labels = np.tile(targets, len(features))
    raw = np.concatenate(features)
    lengths = np.linalg.norm(raw, axis=1, keepdims=True)
    r = raw / lengths
    same = labels[:, None] == labels
    positive = same & ~np.eye(len(r), dtype=bool)
    e = np.exp(r @ r.T / TAU)
    below = np.where(same, 0, e).sum(1, keepdims=True)
    close(np.log1p(below / e)[positive].mean(), contrastive(features, targets))
    of_positive = np.where(positive, -below / (e + below), 0)
    of_negative = np.where(same, 0, e) * np.where(positive, 1 / (e + below), 0).sum(1, keepdims=True)
    d = (of_positive + of_negative) / positive.sum() / TAU
    g = (d + d.T) @ r
    return np.split((g - (g * r).sum(1, keepdims=True) * r) / lengths, len(features))


def checked_contrastive_gradients(features, targets):
    gradients = contrastive_gradients(features, targets)
    for m, g in enumerate(gradients):
        def value(x, m=m):
            return contrastive([x if n == m else f for n, f in enumerate(features)], targets)
        close(g, differences(value, features[m]), 1e-8)
    return gradients


def mistakes(values, variant, l, rest, features, weights, bias, pi):
    """`rest`: gradients of the features without R."""
    base = fused(features, weights, bias)
    right = np.concatenate([g.ravel() for g in values["gradients"]])

    def add(name, factor, *arguments, **options):
        of_features, _ = regulariser_gradients(variant, features, weights, bias, *arguments, **options)
        wrong = [g + factor * r for g, r in zip(rest, of_features)]
        far(np.concatenate([g.ravel() for g in wrong]), right)
        values["mistake_gradients_" + name] = wrong

    add("opposite", -l, pi)
    add("inverse", l, np.argsort(pi))
    if variant == "greedy":
        add("not_detached", l, pi, live_is_all=True)
        return
    add("base_fixed", l, pi, base_live=lambda m, n: False)
    if variant == "ind":
        add("own", l, pi, base_live=lambda m, n: m == n)
    without = values["loss"] + l * sum(values["js"])
    z = values["permuted_logits"]
    kl = [(softmax(one) * (log_softmax(one) - log_softmax(base))).sum(1).mean() for one in z]
    for name, wrong in (("bits", sum(values["js"]) / np.log(2)), ("kl", sum(kl)), ("summed", B * sum(values["js"]))):
        values["mistake_loss_" + name] = far(without - l * wrong, values["loss"]).item()


def case(rng, k, variant, l, lambda_c, width=4):
    features = [rng.standard_normal((B, width)) for _ in range(k)]
    weights = [1.5 * rng.standard_normal((C, width)) for _ in range(k)]
    bias, targets = rng.standard_normal(C), np.array([0, 1, 0, 2, 1])
    pi = np.array([2, 0, 4, 3, 1])

    z = fused(features, weights, bias)
    shown = [fused(permuted(features, m, pi), weights, bias) for m in range(k)]
    divergences = [js(one, z) for one in shown]
    joint, alike = cross_entropy(z, targets), contrastive(features, targets)
    value = {"greedy": 0.0, "ind": -sum(divergences), "colab": -sum(divergences)}[variant]

    g = cross_entropy_gradient(z, targets)
    rest = [g @ w + lambda_c * c for w, c in zip(weights, checked_contrastive_gradients(features, targets))]
    of_features, of_weights = regulariser_gradients(variant, features, weights, bias, pi)
    for n in range(k):
        close(of_features[n], regulariser_slope(variant, features, weights, bias, pi, n), 1e-8)

        def of_weight(w, n=n):
            moved = [w if i == n else other for i, other in enumerate(weights)]
            base = fused(features, moved, bias)
            return sum(sign * js(fused(permuted(features, m, pi), moved, bias), base)
                       for m, _, sign in terms(variant, k))
        close(of_weights[n], differences(of_weight, weights[n]), 1e-8)

    # The bias moves z and every z^m alike.
    of_bias = sum(sign * (js_gradient(shown[m], z) + js_gradient(z, shown[m])).sum(0)
                  for m, _, sign in terms(variant, k))
    values = {"k": k, "variant": variant, "l": l, "lambda_c": lambda_c, "permutation": pi, "features": features,
              "weights": weights, "bias": bias, "targets": targets, "joint": joint, "permuted_logits": shown,
              "js": divergences, "contrastive": alike, "loss": joint + l * value + lambda_c * alike,
              "gradients": [r + l * o for r, o in zip(rest, of_features)],
              "gradient_weights": [g.T @ f + l * o for f, o in zip(features, of_weights)],
              "gradient_bias": g.sum(axis=0) + l * of_bias}
    if l > 0:
        mistakes(values, variant, l, rest, features, weights, bias, pi)
    return values


def contrastive_case(rng, k, targets):
    targets = np.array(targets)
    count = len(targets)
    features = [rng.standard_normal((count, 3)) for _ in range(k)]
    value = contrastive(features, targets)
    values = {"features": features, "targets": targets, "value": value,
              "gradients": checked_contrastive_gradients(features, targets)}
    if len(set(targets)) == 1:
        close(value, 0)
        return values
    wrong = {"all": contrastive(features, targets, negative=lambda i, n: n != i),
             "not_normalised": contrastive(features, targets, normalise=False)}
    if len(set(targets)) < count:
        wrong["unlabelled"] = contrastive(features, np.arange(count))
        labels = np.tile(targets, k)
        wrong["across"] = contrastive(
            features, targets, positive=lambda i, j: labels[i] == labels[j] and i // count != j // count)
    for name, one in wrong.items():
        values["mistake_" + name] = far(one, value).item()
    return values


def main():
    rng = np.random.default_rng(SEED)
    cases = {"greedy": case(rng, 2, "greedy", 0.5, 0.0), "ind": case(rng, 2, "ind", 0.5, 0.0),
             "colab": case(rng, 2, "colab", 0.5, 0.0), "all_of_it": case(rng, 2, "greedy", 0.1, 1.0),
             "greedy_three": case(rng, 3, "greedy", 0.5, 0.3), "ind_three": case(rng, 3, "ind", 0.5, 0.0),
             "colab_three": case(rng, 3, "colab", 0.5, 0.3), "contrastive_alone": case(rng, 2, "greedy", 0.0, 2.0)}
    alike = {"two": contrastive_case(rng, 2, [0, 1, 0, 2]), "three": contrastive_case(rng, 3, [1, 0, 1]),
             "one_class": contrastive_case(rng, 2, [1, 1, 1]), "own_classes": contrastive_case(rng, 2, [2, 0, 1])}
    store.write(__file__, dict(seed=SEED, cases=cases, contrastive=alike))
    for name, values in cases.items():
        print(name, "js", values["js"], "contrastive", values["contrastive"], "loss", values["loss"])


if __name__ == "__main__":
    main()
